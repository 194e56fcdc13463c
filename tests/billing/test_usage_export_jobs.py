"""Exports in the background: asked for, made, begun again, removed."""

import csv
import gzip
import io
import json
from datetime import datetime, timedelta
from decimal import Decimal

import openpyxl
import pytest
from django.core.files.storage import default_storage
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import ApiKey, Membership
from accounts.pseudonyms import pseudonym
from agentplatform.lib.hash_chain import head, seal_next
from billing.exports import files, jobs, requests, writing
from billing.exports.manifests import is_signed
from billing.models import UsageExport, UsageRecord
from billing.sealing import LEDGER
from runs.subjects.content import Subject
from runs.subjects.erase import erase_content
from tests.factories import ApiKeyFactory, UsageRecordFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/billing/exports"
Status = UsageExport.Status


def content_of(export) -> bytes:
    with default_storage.open(files.name_of(export, export.attempt)) as file:
        return file.read()


def rows_of(export) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content_of(export).decode(), newline="")))


# asking


def test_is_queued_until_a_worker_takes_it(ask):
    asked = ask(format="csv", filters={"model": "gpt-5"})
    assert (asked["status"], asked["progress"], asked["user"]) == ("queued", 0, "audrey")


def test_wakes_a_worker(ask):
    ask()
    assert list(ProcrastinateJob.objects.values_list("task_name", "queue_name")) == [
        ("billing.make_exports", "exports")
    ]


def test_closes_a_period_that_is_open(ask):
    assert set(ask()["filters"]) == {"start", "end"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"format": "pdf"}, "format"),
        ({"columns": ["price"]}, "columns"),
        ({"filters": {"agnet": "x"}}, "filters.agnet"),
        ({"filters": {"start": "yesterday"}}, "filters.start"),
        ({"filters": {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}}, "filters.start"),
        ({"options": {"tz": "Mars/Olympus"}}, "options.tz"),
        ({"options": {"bomb": True}}, "options.bomb"),
        ({"format": "xlsx", "options": {"compression": "gzip"}}, "options.compression"),
        ({"colums": []}, "colums"),
    ],
)
def test_names_what_it_does_not_take(ask, body, field):
    details = ask(status=422, **body)["error"]["details"]
    assert [detail["field"] for detail in details] == [field]


def test_refuses_more_at_once_than_a_workspace_may(ask, settings):
    settings.EXPORTS_PER_WORKSPACE = 1
    ask()
    assert "delete one" in ask(status=429)["error"]["message"]


@pytest.mark.parametrize("name", ["olivia", "bob", "vera"])
def test_is_refused_to_roles_without_the_permission(ask, request, name):
    ask(user=request.getfixturevalue(name), status=403)


# making


def test_writes_what_was_asked_for(used, made):
    used(model="gpt-5")
    used(model="gpt-4o-mini")
    export = made(columns=["model", "cost"], filters={"model": "gpt-5"})
    assert (export.status, rows_of(export)) == ("completed", [{"model": "gpt-5", "cost": "0.00021"}])


def test_leaves_out_what_another_workspace_has_used(used, made, other_workspace):
    used()
    UsageRecordFactory(workspace=other_workspace)
    assert len(rows_of(made())) == 1


def test_has_no_row_after_the_moment_that_it_was_asked_for(used, ask, stored):
    asked = ask()
    used(timestamp=timezone.now())
    jobs.make(jobs.claim_next())
    assert UsageExport.objects.get(pk=asked["id"]).rows == 0


def test_says_in_its_manifest_what_came_out(used, made):
    used(cost=Decimal("0.1"), input_tokens=5)
    used(cost=Decimal("0.2"), input_tokens=6, currency="EUR")
    used(cost=None, input_tokens=7)
    seal_next(LEDGER)
    manifest = made().manifest
    last = head(LEDGER, UsageRecord.objects.first().workspace_id)
    assert (manifest["rows"], manifest["sums"]["input_tokens"], manifest["sums"]["unpriced_requests"]) == (
        3,
        18,
        1,
    )
    assert (manifest["sums"]["cost"], manifest["ledger"]) == (
        {"EUR": "0.2", "USD": "0.1"},
        {"position": 3, "hash": last.hash.hex()},
    )
    assert (manifest["asked_by"]["user"], is_signed(manifest)) == ("audrey", True)


def test_adds_up_to_the_totals_with_corrections(used, made, api, audrey):
    first = used(cost=Decimal("0.5"))
    common = {
        "call_id": first.call_id,
        "correction_of": first.pk,
        "revision": 2,
        "timestamp": first.timestamp,
    }
    used(
        **common, is_reversal=True, requests=-1, input_tokens=-1000, output_tokens=-100, cost=Decimal("-0.5")
    )
    used(**common, cost=Decimal("0.7"))
    totals = api(audrey).get("/billing/usage").json()["totals"]
    export = made()
    exported = rows_of(export)
    assert (sum(Decimal(row["cost"]) for row in exported), sum(int(row["requests"]) for row in exported)) == (
        Decimal(totals["cost"]),
        totals["requests"],
    )
    assert export.manifest["sums"]["cost"] == {"USD": totals["cost"]}


def test_says_when_it_was_in_whatever_zone(used, made):
    used()
    manifest = made(options={"tz": "Asia/Shanghai"}).manifest
    assert abs(datetime.fromisoformat(manifest["snapshot_at"]) - timezone.now()) < timedelta(minutes=1)


def test_compresses(used, made, stored):
    used()
    export = made(format="jsonl", columns=["cost"], options={"compression": "gzip"})
    assert json.loads(gzip.decompress(content_of(export))) == {"cost": "0.00021"}
    assert export.manifest["file"]["name"].endswith(".jsonl.gz")


def test_writes_a_workbook(used, made):
    used()
    book = openpyxl.load_workbook(io.BytesIO(content_of(made(format="xlsx", columns=["agent"]))))
    assert [[cell.value for cell in row] for row in book["Usage"].rows] == [["agent"], ["trade-assistant"]]


def test_fails_where_the_file_would_be_too_large(used, made, settings, stored):
    settings.EXPORT_MAX_BYTES = 100
    used()
    export = made()
    assert (export.status, "EXPORT_MAX_BYTES" in export.error, stored()) == ("failed", True, [])


def test_fails_where_whoever_asked_may_not_any_more(used, ask, stored, audrey):
    ask()
    Membership.objects.filter(user=audrey).delete()
    jobs.make(jobs.claim_next())
    assert UsageExport.objects.get().error == "Whoever asked for it may not export usage any more."


def test_fails_where_the_key_was_revoked(used, ask, stored, audrey, workspace):
    ask(user=ApiKeyFactory(workspace=workspace, user=audrey, scopes=["export:usage"]))
    ApiKey.objects.update(revoked_at=timezone.now())
    jobs.make(jobs.claim_next())
    assert UsageExport.objects.get().status == "failed"


def test_says_nothing_of_a_fault_of_ours(used, ask, stored, monkeypatch):
    def fail(*args):
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(jobs, "write", fail)
    ask()
    jobs.make(jobs.claim_next())
    assert UsageExport.objects.get().error == jobs.FAULT


# beginning again


def test_begins_again_after_its_worker_was_lost(used, ask, stored):
    used()
    ask()
    lost = jobs.claim_next()
    default_storage.save(lost.stored_as, io.BytesIO(b"half of it"))
    UsageExport.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    jobs.make(jobs.claim_next())
    export = UsageExport.objects.get()
    assert (export.status, stored()) == ("completed", [files.name_of(export, 2)])


def test_lets_whoever_comes_too_late_write_nothing(used, ask, stored):
    used()
    ask()
    late = jobs.claim_next()
    UsageExport.objects.update(due_at=timezone.now())
    jobs.make(jobs.claim_next())
    jobs.make(late)
    export = UsageExport.objects.get()
    assert (export.status, export.attempt, stored()) == ("completed", 2, [files.name_of(export, 2)])


def test_gives_up_after_three_lost_workers(ask, stored):
    ask()
    for _ in range(3):
        jobs.claim_next()
        UsageExport.objects.update(due_at=timezone.now())
    assert (jobs.claim_next(), UsageExport.objects.get().error) == (None, jobs.LOST)


def test_is_taken_up_by_one_worker(ask, stored):
    ask()
    assert (jobs.claim_next() is not None, jobs.claim_next()) == (True, None)


def test_wakes_a_worker_for_what_was_lost(ask, monkeypatch):
    ask()
    ProcrastinateJob.objects.all()._raw_delete("default")
    UsageExport.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    monkeypatch.setattr(requests.backlog, "_woken_at", -1e9)
    requests.backlog.wake_overdue()
    assert ProcrastinateJob.objects.filter(task_name=requests.MAKE).count() == 1


async def test_is_made_by_the_job(ask, used, stored):
    from asgiref.sync import sync_to_async

    await sync_to_async(used)()
    await sync_to_async(ask)()
    await jobs.work()
    assert await UsageExport.objects.filter(status="completed", rows=1).acount() == 1


# deleting


def test_goes_with_its_file(used, made, api, audrey, stored):
    export = made()
    assert api(audrey).delete(f"{PATH}/{export.pk}").status_code == 204
    assert (UsageExport.objects.exists(), stored()) == (False, [])


def test_stops_when_it_is_deleted(used, ask, api, audrey, stored, monkeypatch):
    used()
    asked = ask()
    claim = jobs.claim_next()

    def write(*args):
        assert api(audrey).delete(f"{PATH}/{asked['id']}").status_code == 204
        return writing.write(*args)

    monkeypatch.setattr(jobs, "write", write)
    jobs.make(claim)
    assert (UsageExport.objects.exists(), stored()) == (False, [])


def test_stops_between_blocks(used, ask, stored):
    used()
    ask()
    claim = jobs.claim_next()
    claim.is_stopped = True
    jobs.make(claim)
    assert (UsageExport.objects.get().status, stored()) == ("running", [])


def test_is_removed_when_its_time_is_over(used, made, api, audrey, stored):
    export = made()
    UsageExport.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    jobs.expire_some()
    response = api(audrey).get(f"{PATH}/{export.pk}/download")
    assert (stored(), response.status_code, UsageExport.objects.get().status) == ([], 409, "expired")


def test_removes_files_that_no_export_has(made, stored, monkeypatch):
    export = made()
    default_storage.save(files.name_of(export, 7), io.BytesIO(b"left"))
    monkeypatch.setattr(files, "ORPHAN_AFTER", timedelta(seconds=-60))
    files.remove_orphans()
    assert stored() == [files.name_of(export, export.attempt)]


# erasing people


@pytest.fixture
def dora(used):
    """Somebody who has used something."""
    user = UserFactory(username="dora")
    used(user_id=user.pk, user="dora", api_key="dora's key", end_user="dora's customer", input_tokens=17)
    return user


@pytest.fixture
def erase(workspace):
    return lambda user: erase_content(Subject(user.pk, workspace.pk))


def everything_of_exports() -> str:
    return str(list(UsageExport.objects.values()))


def test_goes_when_whoever_asked_is_erased(made, stored, audrey, erase):
    made()
    erase(audrey)
    assert (UsageExport.objects.exists(), stored()) == (False, [])


@pytest.mark.parametrize("columns", [[], ["user"], ["cost", "api_key"], ["end_user"]])
def test_is_taken_back_when_somebody_in_it_is_erased(made, stored, dora, erase, api, audrey, columns):
    export = made(columns=columns)
    told = erase(dora)
    response = api(audrey).get(f"{PATH}/{export.pk}/download")
    assert (stored(), response.status_code, told["usage_exports_taken_back"]) == ([], 409, 1)
    assert "Ask for it anew" in response.json()["error"]["message"]
    read = api(audrey).get(f"{PATH}/{export.pk}").json()
    assert (read["status"], "erased since" in read["error"]) == ("expired", True)


@pytest.mark.parametrize(
    "asked",
    [
        {"columns": ["timestamp", "user_id", "cost"]},
        {"filters": {"start": "2020-01-01T00:00:00Z", "end": "2020-02-01T00:00:00Z"}},
    ],
)
def test_stays_where_it_cannot_name_who_is_erased(made, stored, dora, erase, asked):
    export = made(**asked)
    erase(dora)
    assert (stored(), UsageExport.objects.get().status) == ([files.name_of(export, 1)], "completed")


def test_stays_when_somebody_else_is_erased(used, made, stored, erase):
    used()
    made()
    erase(UserFactory(username="eric"))
    assert (len(stored()), UsageExport.objects.get().status) == (1, "completed")


@pytest.mark.parametrize("name", ["user", "api_key", "end_user"])
def test_has_the_same_rows_when_it_is_asked_for_anew(used, made, dora, erase, name):
    used()
    called = {"user": "dora", "api_key": "dora's key", "end_user": "dora's customer"}[name]
    columns = [name, "input_tokens"]
    made(filters={name: called}, columns=columns)
    erase(dora)
    assert "dora" not in everything_of_exports()
    again = made(filters=UsageExport.objects.get().filters, columns=columns)
    assert rows_of(again) == [{name: pseudonym(dora.pk), "input_tokens": "17"}]


def test_keeps_a_filter_by_a_name_that_others_have_too(used, made, dora, erase):
    used(user_id=dora.pk, user="dora", api_key="ci")
    used(api_key="ci")
    made(filters={"api_key": "ci"})
    erase(dora)
    export = UsageExport.objects.get()
    assert (export.filters["api_key"], export.status) == ("ci", "expired")


def test_is_begun_again_where_somebody_is_erased_meanwhile(ask, stored, dora, erase):
    ask()
    claim = jobs.claim_next()
    erase(dora)
    jobs.make(claim)
    assert (UsageExport.objects.get().status, stored()) == ("queued", [])
    jobs.make(jobs.claim_next())
    export = UsageExport.objects.get()
    assert (export.status, export.tries, stored()) == ("completed", 1, [files.name_of(export, 2)])
    assert [row["user"] for row in rows_of(export)] == [pseudonym(dora.pk)]


def test_is_made_with_a_pseudonym_where_it_has_waited(ask, stored, dora, erase):
    ask(filters={"user": "dora"})
    erase(dora)
    jobs.make(jobs.claim_next())
    export = UsageExport.objects.get()
    assert [row["user"] for row in rows_of(export)] == [pseudonym(dora.pk)]
    assert "dora" not in everything_of_exports()


def test_says_nothing_of_who_was_erased_after_its_time_is_over(made, dora, erase):
    made(filters={"user": "dora"})
    UsageExport.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    jobs.expire_some()
    erase(dora)
    assert "dora" not in everything_of_exports()


# reading


def test_lists_the_newest_first_with_few_queries(ask, api, audrey, django_assert_max_num_queries):
    ids = [ask()["id"] for _ in range(3)]
    client = api(audrey)
    with django_assert_max_num_queries(5):
        listed = client.get(PATH).json()["items"]
    assert [one["id"] for one in listed] == ids[::-1]


def test_shows_nothing_to_another_workspace(made, api, charlie):
    export = made()
    paths = ["", "/download", "/manifest"]
    assert {api(charlie).get(f"{PATH}/{export.pk}{path}").status_code for path in paths} == {404}


def test_shows_those_of_others_to_whoever_may_read_everybodys_usage(made, api, alice):
    export = made()
    assert api(alice).get(f"{PATH}/{export.pk}").status_code == 200


def test_shows_a_key_without_that_permission_only_its_owners(made, api, alice, workspace):
    export = made()
    key = ApiKeyFactory(workspace=workspace, user=alice, scopes=["export:usage"])
    assert api(key).get(f"{PATH}/{export.pk}").status_code == 404


@pytest.mark.parametrize("part", ["download", "manifest"])
def test_has_nothing_to_give_before_it_is_completed(ask, api, audrey, part):
    assert api(audrey).get(f"{PATH}/{ask()['id']}/{part}").status_code == 409
