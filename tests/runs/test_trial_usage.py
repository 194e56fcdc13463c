"""A test of a model is a paid call: it stands in the ledger like any other, without a run."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from agents import metering, trials
from billing import ledger
from billing.models import Entry, Outcome, UsageRecord
from runs.metering import open_call
from tests.factories import ApiKeyFactory, ChatModelFactory, PriceFactory
from tests.runs.admin_support import signed_in


@pytest.fixture
def model(workspace, model_endpoint):
    """`model("text-3")`: a priced model at the fake endpoint, behaving as the name says."""

    def make(behaviour="text-3", **values):
        PriceFactory(workspace=workspace, model=behaviour)
        return ChatModelFactory(
            workspace=workspace,
            name="tried",
            provider="openai",
            model=behaviour,
            base_url=model_endpoint.base_url,
            **values,
        )

    return make


@pytest.fixture
def call(workspace, olivia, model):
    """A call that is about to be made."""
    spec = trials.parse_model(model().version, trials.parse_config({}))
    payer = metering.Payer(olivia.pk, olivia.username)
    return metering.PaidCall(workspace.pk, payer, spec, len("Are you ready?"))


def entries():
    return list(UsageRecord.objects.order_by("id"))


def settled():
    return UsageRecord.objects.settled().get()


def test_opens_and_settles_the_call(api, olivia, model):
    model()
    api(olivia).post("/models/tried/test")
    opened, ended = entries()
    assert (opened.entry, ended.entry, opened.call_id) == (Entry.OPENED, Entry.SETTLED, ended.call_id)


def test_has_opened_it_before_it_is_made(api, olivia, model, monkeypatch):
    model()
    seen = []

    async def ask(*_):
        return {"content": "ready", "usage": {}}

    monkeypatch.setattr(trials, "_ask", ask)
    monkeypatch.setattr(trials, "release_connection", lambda: seen.extend(entries()))
    api(olivia).post("/models/tried/test")
    assert [(record.entry, record.status) for record in seen] == [(Entry.OPENED, Outcome.PENDING)]


def test_costs_what_the_endpoint_says(api, olivia, model):
    model()
    usage = api(olivia).post("/models/tried/test").json()["result"]["usage"]
    record = settled()
    assert (record.input_tokens, record.output_tokens) == (usage["input_tokens"], usage["output_tokens"])
    assert record.cost == Decimal(usage["input_tokens"] * 2 + usage["output_tokens"] * 8) / 1_000_000


def test_estimates_where_the_endpoint_says_nothing(api, olivia, model):
    model("no-usage-3")
    api(olivia).post("/models/tried/test", {"message": "x" * 40})
    assert (settled().input_tokens, settled().output_tokens > 0) == (10, True)


def test_names_who_asked_and_no_run(api, olivia, workspace, model):
    model()
    api(olivia).post("/models/tried/test")
    record = settled()
    assert (record.user_id, str(record.user_name), record.run_id, record.agent) == (
        olivia.pk,
        "olivia",
        None,
        "",
    )


def test_names_the_api_key(api, olivia, workspace, model):
    model()
    key = ApiKeyFactory(workspace=workspace, user=olivia, name="pipeline")
    api(key).post("/models/tried/test")
    assert (settled().api_key_id, str(settled().api_key_name)) == (key.pk, "pipeline")


@pytest.mark.parametrize("behaviour", ["error-500", "garbage-html"])
def test_settles_a_failed_call(api, olivia, model, behaviour):
    model(behaviour)
    api(olivia).post("/models/tried/test")
    assert (settled().status, settled().cost) == (Outcome.FAILED, 0)


def test_records_nothing_where_no_call_was_made(api, olivia, workspace):
    ChatModelFactory(workspace=workspace, name="keyless", provider="openai", model="x")
    api(olivia).post("/models/keyless/test")
    assert entries() == []


def test_counts_in_the_totals(api, alice, model):
    model()
    api(alice).post("/models/tried/test")
    totals = api(alice).get("/billing/usage").json()["totals"]
    assert (totals["requests"], Decimal(totals["cost"])) == (1, settled().cost)


def test_accounts_for_a_test_from_the_admin(olivia, model):
    tried = model()
    chosen = {"action": "try_out", "_selected_action": [str(tried.pk)]}
    signed_in(olivia).post("/admin/agents/chatmodel/", chosen)
    assert (str(settled().user_name), settled().status) == ("olivia", Outcome.OK)


def test_makes_no_call_that_nobody_accounts_for(api, olivia, model, model_endpoint, monkeypatch):
    model()
    monkeypatch.setattr(metering, "_meter", metering._Unmetered())
    assert api(olivia).post("/models/tried/test").status_code == 500
    assert model_endpoint.requests == []


def test_settles_what_a_process_that_ended_left_open(call):
    open_call(call)
    later = timezone.now() + ledger.LONGEST_CALL + timedelta(minutes=1)
    assert ledger.settle_forgotten(later) == 1
    assert (settled().status, settled().input_tokens) == (Outcome.UNKNOWN, ledger.estimate_tokens(14))


def test_leaves_a_call_under_way_alone(call):
    open_call(call)
    assert ledger.settle_forgotten(timezone.now()) == 0
