"""Pricing a period anew: what is appended, what stays, and that it may be repeated and interrupted."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from billing import ledger, repricing
from billing.models import Entry, Outcome, Repricing, UsageRecord
from billing.tasks import resume_repricings
from tests.factories import PriceFactory, RepricingFactory, UsageRecordFactory

pytestmark = pytest.mark.django_db

MOMENT = datetime(2026, 11, 10, 12, tzinfo=UTC)
PERIOD = {"start": datetime(2026, 11, 1, tzinfo=UTC), "end": datetime(2026, 12, 1, tzinfo=UTC)}
BODY = {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z", "reason": "A wrong price."}


@pytest.fixture(autouse=True)
def _begun_at_once(monkeypatch):
    monkeypatch.setattr(repricing, "LATE", timedelta(0))


@pytest.fixture
def call(workspace):
    """`call(…)`: a settled call of house-model, recorded at a cost of 0.001: 1,000 tokens in, 100 out."""

    def make(**values):
        known = {
            "workspace": workspace, "model": "house-model", "timestamp": MOMENT, "cost": Decimal("0.001"),
            "recorded_at": timezone.now() - timedelta(minutes=1),
        }  # fmt: skip
        return UsageRecordFactory(**{**known, **values})

    return make


@pytest.fixture
def price(workspace):
    """2 and 8 per million: a call costs 0.0028."""
    return PriceFactory(workspace=workspace, valid_from=PERIOD["start"])


@pytest.fixture
def reprice(workspace):
    """`reprice(…)`: does it to its end."""

    def work(**values) -> Repricing:
        wanted = RepricingFactory.build(
            **{"workspace": workspace, **PERIOD, "status": Repricing.Status.QUEUED, **values}
        )
        repricing.save(wanted)
        while repricing.step(wanted.pk):
            pass
        wanted.refresh_from_db()
        return wanted

    return work


def entries(**filters):
    return UsageRecord.objects.filter(**filters).order_by("revision", "-is_reversal", "id")


def total(workspace) -> Decimal:
    return sum(record.cost or 0 for record in UsageRecord.objects.filter(workspace=workspace))


def test_appends_a_reversal_and_a_replacement(call, price, reprice):
    original = call()
    reprice()
    written = [(one.revision, one.is_reversal, one.cost, one.requests) for one in entries()]
    assert written == [
        (1, False, Decimal("0.001"), 1),
        (2, True, Decimal("-0.001"), -1),
        (2, False, Decimal("0.0028"), 1),
    ]
    assert {one.correction_of for one in entries(revision=2)} == {original.pk}


def test_keeps_the_moment_of_the_call_and_says_when_it_was_written(call, price, reprice):
    call()
    done = reprice()
    for correction in entries(revision=2):
        assert (correction.timestamp, correction.recorded_at >= done.created_at) == (MOMENT, True)


def test_keeps_everything_else_of_the_entry(call, price, reprice):
    original = call(cached_tokens=10, reasoning_tokens=20, tags=["a"], end_user="eve")
    reprice()
    replacement = entries(revision=2, is_reversal=False).get()
    names = ("call_id", "run_id", "input_tokens", "cached_tokens", "reasoning_tokens", "tags", "status")
    for name in names:
        assert getattr(replacement, name) == getattr(original, name)
    assert replacement.end_user_name.name == "eve"


def test_names_the_price_that_it_was_priced_by(call, price, reprice):
    call()
    reprice()
    replacement = entries(revision=2, is_reversal=False).get()
    assert (replacement.price_version, replacement.input_price) == (
        f"workspace:{price.pk}", Decimal("0.000002"),
    )  # fmt: skip


def test_makes_sums_come_out_as_if_it_had_been_priced_so(call, price, reprice, workspace):
    call()
    reprice()
    assert total(workspace) == Decimal("0.0028")


def test_says_what_it_has_come_to(call, price, reprice):
    call()
    call(model="unheard-of", cost=None)
    done = reprice()
    assert (done.status, done.looked_at, done.changed, done.unknown) == ("done", 2, 1, 1)
    assert done.sums == {"USD": {"before": "0.001", "after": "0.0028", "difference": "0.0018"}}


def test_prices_what_had_no_price(call, price, reprice, workspace):
    run_id = call(cost=None, input_price=None, output_price=None).run_id
    reprice()
    totals = ledger.totals_of_runs([run_id])[run_id]
    assert (totals.calls, totals.unpriced_calls, totals.cost) == (1, 0, Decimal("0.0028"))


@pytest.mark.parametrize(
    "values",
    [
        {"cost": Decimal("0.0028")},
        {"model": "unheard-of"},
        {"model": "unheard-of", "cost": None},
        {"status": Outcome.CACHED, "requests": 0, "cost": Decimal(0)},
        {"entry": Entry.OPENED, "status": Outcome.PENDING},
        {"timestamp": PERIOD["start"] - timedelta(microseconds=1)},
        {"timestamp": PERIOD["end"]},
        {"currency": "EUR"},
        {"status": Outcome.FAILED, "input_tokens": 0, "output_tokens": 0, "cost": Decimal(0)},
    ],
)
def test_leaves_alone(call, price, reprice, values):
    call(**values)
    reprice()
    assert entries(revision=2).count() == 0


@pytest.mark.parametrize(
    ("wanted", "changed"),
    [
        ({"provider": "openai"}, 1), ({"provider": "anthropic"}, 0), ({"model": "house-model"}, 1),
        ({"model": "other"}, 0), ({"agent": "trade-assistant"}, 1), ({"agent": "other"}, 0),
        ({"agent": "0193a1b2-0000-7000-8000-000000000001"}, 1),
    ],
)  # fmt: skip
def test_can_be_narrowed(call, price, reprice, wanted, changed):
    call(agent_id="0193a1b2-0000-7000-8000-000000000001")
    assert reprice(**wanted).changed == changed


def test_leaves_another_workspaces_calls_alone(call, price, reprice, other_workspace):
    PriceFactory(workspace=other_workspace, valid_from=PERIOD["start"])
    call(workspace=other_workspace)
    assert reprice().looked_at == 0


def test_writes_nothing_when_it_is_only_asked(call, price, reprice):
    call()
    done = reprice(dry_run=True)
    assert (done.changed, done.sums["USD"]["difference"], UsageRecord.objects.count()) == (1, "0.0018", 1)


def test_prices_each_call_as_of_its_own_moment(call, price, reprice, workspace):
    PriceFactory(workspace=workspace, valid_from=MOMENT, input_per_million=Decimal(4))
    earlier, later = call(timestamp=MOMENT - timedelta(seconds=1)), call()
    reprice()
    costs = {one.call_id: one.cost for one in entries(revision=2, is_reversal=False)}
    assert costs == {earlier.call_id: Decimal("0.0028"), later.call_id: Decimal("0.0048")}


def test_changes_nothing_when_it_is_repeated(call, price, reprice):
    call()
    reprice()
    again = reprice()
    assert (again.looked_at, again.changed, UsageRecord.objects.count()) == (1, 0, 3)


def test_corrects_a_correction(call, price, reprice, workspace):
    call()
    reprice()
    PriceFactory(workspace=workspace, valid_from=price.valid_from, version=2, input_per_million=Decimal(4))
    reprice()
    assert total(workspace) == Decimal("0.0048")
    assert entries().last().revision == 3


def test_goes_on_where_it_was_killed(call, price, reprice, workspace, monkeypatch):
    monkeypatch.setattr(repricing, "BATCH", 2)
    for _ in range(5):
        call()
    wanted = RepricingFactory(workspace=workspace, **PERIOD, status=Repricing.Status.QUEUED)
    repricing.step(wanted.pk)
    assert entries(revision=2, is_reversal=False).count() == 2
    while repricing.step(wanted.pk):
        pass
    wanted.refresh_from_db()
    assert (wanted.looked_at, wanted.changed, total(workspace)) == (5, 5, Decimal("0.0140"))


def test_undoes_a_batch_whose_end_does_not_come(call, price, workspace, monkeypatch):
    call()
    wanted = RepricingFactory(workspace=workspace, **PERIOD, status=Repricing.Status.QUEUED)

    def fail(*_):
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(repricing, "_remember", fail)
        with pytest.raises(OperationalError):
            repricing.step(wanted.pk)
    assert (UsageRecord.objects.count(), repricing.step(wanted.pk), UsageRecord.objects.count()) == (
        1,
        False,
        3,
    )


def test_fails_where_it_would_fail_again(call, price, workspace, monkeypatch):
    call()
    wanted = RepricingFactory(workspace=workspace, **PERIOD, status=Repricing.Status.QUEUED)
    monkeypatch.setattr(repricing, "known_price", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        repricing.step(wanted.pk)
    wanted.refresh_from_db()
    assert (wanted.status, wanted.error) == ("failed", "ZeroDivisionError: division by zero")


def test_is_woken_again_when_its_worker_is_gone(workspace, monkeypatch):
    woken = []
    monkeypatch.setattr(repricing, "wake", woken.append)
    lost = RepricingFactory(
        workspace=workspace, status="running", updated_at=timezone.now() - timedelta(minutes=10)
    )
    resume_repricings()
    assert woken == [lost.pk]


def test_tells_followers_the_runs_that_have_changed(call, price, reprice, monkeypatch):
    told = []

    @contextmanager
    def follower(run_ids):
        told.append((run_ids, UsageRecord.objects.count()))
        yield
        told.append((run_ids, UsageRecord.objects.count()))

    monkeypatch.setattr(repricing, "_followers", [follower])
    changed = call()
    call(cost=Decimal("0.0028"))
    reprice()
    assert told == [([changed.run_id], 2), ([changed.run_id], 4)]


def test_is_requested_over_the_api(api, alice, workspace):
    response = api(alice).post("/billing/repricings", BODY)
    assert (response.status_code, response.json()["status"]) == (202, "queued")
    made = Repricing.objects.get()
    assert (made.workspace, made.user_id) == (workspace, alice.pk)


def test_wakes_a_worker(api, alice, monkeypatch):
    woken = []
    monkeypatch.setattr(repricing, "wake", woken.append)
    api(alice).post("/billing/repricings", BODY)
    assert woken == [Repricing.objects.get().pk]


def test_is_refused_while_another_one_is_under_way(api, alice):
    assert [api(alice).post("/billing/repricings", BODY).status_code for _ in range(2)] == [202, 409]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"start": "2026-12-01T00:00:00Z"}, "start"),
        ({"start": "yesterday"}, "start"),
        ({"end": None}, "end"),
        ({"reason": ""}, "reason"),
        ({"dry_run": "perhaps"}, "dry_run"),
        ({"until": 1}, "until"),
    ],
)
def test_names_what_is_wrong(api, alice, change, field):
    response = api(alice).post("/billing/repricings", {**BODY, **change})
    assert (response.status_code, response.json()["error"]["details"][0]["field"]) == (422, field)


@pytest.mark.parametrize(("name", "read", "write"), [
    ("alice", 200, 202), ("olivia", 200, 403), ("audrey", 200, 403), ("bob", 403, 403), ("vera", 403, 403),
])  # fmt: skip
def test_opens_to_whom_the_role_permits(api, request, name, read, write):
    client = api(request.getfixturevalue(name))
    answers = client.get("/billing/repricings"), client.post("/billing/repricings", BODY)
    assert tuple(answer.status_code for answer in answers) == (read, write)


def test_is_hidden_from_a_stranger(api, charlie, workspace):
    one = RepricingFactory(workspace=workspace)
    client = api(charlie)
    assert client.get(f"/billing/repricings/{one.pk}").status_code == 404
    assert client.get("/billing/repricings").json()["total"] == 0


def test_lists_with_the_same_queries_however_many(api, audrey, workspace, django_assert_max_num_queries):
    client = api(audrey)
    client.get("/billing/repricings")
    RepricingFactory.create_batch(20, workspace=workspace)
    with django_assert_max_num_queries(5):
        client.get("/billing/repricings")


def test_is_done_by_a_command(call, price, workspace, capsys):
    call()
    call_command("reprice", workspace="acme", start="2026-11-01", end="2026-12-01", verbosity=1)
    assert "USD: 0.001 before, 0.0028 after, 0.0018 difference." in capsys.readouterr().out
    assert total(workspace) == Decimal("0.0028")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workspace": "nowhere"}, "no workspace"),
        ({"start": "soon"}, "no date"),
        ({"end": "2026-10-01"}, "before"),
    ],
)
def test_says_what_is_wrong_with_a_command(workspace, options, message):
    given = {"workspace": "acme", "start": "2026-11-01", "end": "2026-12-01", **options}
    with pytest.raises(CommandError, match=message):
        call_command("reprice", **given)


# up to now


@pytest.fixture
def late(monkeypatch):
    monkeypatch.setattr(repricing, "LATE", timedelta(seconds=5))


def test_takes_in_what_was_still_priced_by_what_was_known_before(call, price, reprice, late):
    call(recorded_at=timezone.now() + timedelta(seconds=2))
    assert reprice().changed == 1


def test_looks_at_nothing_of_its_own(call, price, reprice, late):
    call()
    assert reprice().looked_at == 1


def test_waits_for_them_where_the_period_reaches_up_to_now(workspace, late):
    wanted = RepricingFactory.build(workspace=workspace, **PERIOD)
    assert repricing.begins_at(wanted) == wanted.created_at + timedelta(seconds=10)


def test_begins_at_once_in_a_period_that_is_over(workspace, late):
    over = {"start": datetime(2026, 10, 1, tzinfo=UTC), "end": datetime(2026, 11, 1, tzinfo=UTC)}
    wanted = RepricingFactory.build(workspace=workspace, **over)
    assert repricing.begins_at(wanted) == wanted.created_at
