import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from billing import ledger
from billing.ledger import CallContext, Tokens
from billing.models import Entry, OpenCall, Outcome, UsageRecord
from tests.factories import UsageRecordFactory


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def context(workspace):
    return CallContext(
        workspace_id=workspace.id,
        currency="USD",
        run_id=uuid.uuid4(),
        attempt=1,
        step=2,
        session_id=None,
        agent_id=uuid.uuid4(),
        agent="trade-assistant",
        workflow="",
        user_id=uuid.uuid4(),
        user="bob",
        end_user="customer 7",
        api_key_id=None,
        api_key="",
        provider="openai",
        model="gpt-4o-mini",
    )


@pytest.fixture
def call(context, now):
    """`call(attempt=2)`: opens a call in the ledger and returns its id."""

    def open_call(**changes):
        call_id = uuid.uuid4()
        ledger.append([ledger.opened(replace(context, **changes), call_id, Tokens(input=400), now)])
        return call_id

    return open_call


def test_opens_a_call_as_pending_with_its_estimate(context, now):
    record = ledger.opened(context, uuid.uuid4(), Tokens(input=400), now)
    assert (record.entry, record.status, record.input_tokens) == (Entry.OPENED, Outcome.PENDING, 400)


def test_settles_a_call_with_its_cost(context, now):
    record = ledger.settled(context, uuid.uuid4(), Tokens(input=1000, cached=400, output=100), "ok", now)
    # 600 × 0.15/M + 400 × 0.075/M + 100 × 0.6/M
    assert record.cost == Decimal("0.00018")


def test_keeps_the_unit_prices_and_their_list(context, now):
    record = ledger.settled(context, uuid.uuid4(), Tokens(input=1), Outcome.OK, now)
    kept = (record.input_price, record.output_price, record.price_version.partition(":")[0])
    assert kept == (Decimal("0.00000015"), Decimal("0.0000006"), "genai-prices")


def test_leaves_the_cost_empty_without_a_price(context, now):
    record = ledger.settled(
        replace(context, model="house-model"), uuid.uuid4(), Tokens(input=9), Outcome.OK, now
    )
    assert (record.cost, record.input_price, record.output_price, record.price_version) == (
        None,
        None,
        None,
        "",
    )


def test_stores_what_it_built(context, now):
    built = ledger.settled(
        context, uuid.uuid4(), Tokens(input=10, output=5, reasoning=2), Outcome.FAILED, now
    )
    ledger.append([built])
    stored = UsageRecord.objects.get()
    apart = {"user", "end_user", "api_key", "user_name_id", "end_user_name_id", "api_key_name_id"}
    kept = [field.attname for field in stored._meta.fields if field.attname not in apart]
    assert [getattr(stored, name) for name in kept] == [getattr(built, name) for name in kept]
    assert (str(stored.user_name), str(stored.end_user_name)) == (built.user, built.end_user)


def test_stores_text_that_the_database_would_refuse(context, now):
    awkward = replace(context, end_user="a\x00b\ud800" + "c" * 500)
    ledger.append([ledger.settled(awkward, uuid.uuid4(), Tokens(), Outcome.OK, now)])
    assert UsageRecord.objects.get().end_user_name.name == "a\ufffdb\ufffd" + "c" * 196


def test_stores_the_largest_possible_call(context, now):
    largest = Tokens.from_usage_metadata({"input_tokens": 10**40, "output_tokens": 10**40})
    ledger.append([ledger.settled(replace(context, model="gpt-4"), uuid.uuid4(), largest, Outcome.OK, now)])
    assert UsageRecord.objects.get().cost > 0


def test_appends_in_one_statement(context, now, django_assert_num_queries):
    records = [ledger.opened(context, uuid.uuid4(), Tokens(input=1), now) for _ in range(50)]
    with django_assert_num_queries(1):
        ledger.append(records)


def test_appends_nothing_without_a_statement(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        ledger.append([])


def test_ignores_the_same_settlement_twice(context, now):
    record = ledger.settled(context, uuid.uuid4(), Tokens(input=1000), Outcome.OK, now)
    ledger.append([record])
    ledger.append([record])
    assert UsageRecord.objects.count() == 1


def test_keeps_the_first_of_two_settlements(context, now):
    call_id = uuid.uuid4()
    for status in (Outcome.UNKNOWN, Outcome.OK):
        ledger.append([ledger.settled(context, call_id, Tokens(input=1), status, now)])
    assert UsageRecord.objects.get().status == Outcome.UNKNOWN


def test_stores_the_rest_of_a_batch_of_which_one_is_known(context, now):
    known, fresh = (ledger.settled(context, uuid.uuid4(), Tokens(input=1), Outcome.OK, now) for _ in range(2))
    ledger.append([known])
    ledger.append([known, fresh])
    assert UsageRecord.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_settles_once_when_two_connections_settle_at_the_same_time(context, now):
    calls = [uuid.uuid4() for _ in range(50)]

    def settle(status):
        try:
            for call_id in calls:
                ledger.append([ledger.settled(context, call_id, Tokens(input=1), status, now)])
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as both:
        list(both.map(settle, (Outcome.OK, Outcome.UNKNOWN)))
    assert UsageRecord.objects.filter(entry=Entry.SETTLED).count() == 50


def test_settles_as_unknown_what_a_dead_attempt_left_open(context, call, now):
    call_id = call()
    ledger.settle_open([context.run_id], now, {context.run_id: 2})
    settlement = UsageRecord.objects.get(call_id=call_id, entry=Entry.SETTLED)
    assert (settlement.status, settlement.input_tokens, settlement.cost) == (
        "unknown",
        400,
        Decimal("0.00006"),
    )


def test_leaves_the_present_attempt_and_later_ones_open(context, call, now):
    call(attempt=2)
    call(attempt=3)
    assert ledger.settle_open([context.run_id], now, {context.run_id: 2}) == 0


def test_settles_all_attempts_of_a_run_that_is_over(context, call, now):
    call(attempt=1)
    call(attempt=2)
    assert ledger.settle_open([context.run_id], now, {}) == 2


def test_leaves_a_settled_call_alone(context, call, now):
    call_id = call()
    ledger.append([ledger.settled(context, call_id, Tokens(input=390, output=7), Outcome.OK, now)])
    assert ledger.settle_open([context.run_id], now, {}) == 0


def test_leaves_other_runs_alone(call, now):
    call()
    assert ledger.settle_open([uuid.uuid4()], now, {}) == 0


def test_settles_what_is_open_once(context, call, now):
    call()
    ledger.settle_open([context.run_id], now, {})
    assert ledger.settle_open([context.run_id], now + timedelta(seconds=5), {}) == 0


def test_adds_up_a_runs_settled_calls(workspace, context, call):
    call()
    UsageRecordFactory(workspace=workspace, run_id=context.run_id)
    UsageRecordFactory(workspace=workspace, run_id=context.run_id, cost=None)
    totals = ledger.totals_of_runs([context.run_id, uuid.uuid4()])
    assert totals == {context.run_id: ledger.RunTotals(2, 2000, 200, Decimal("0.00021"), 1)}


def test_knows_which_calls_are_open(context, call, now):
    open_call, other = call(), call()
    ledger.append([ledger.settled(context, other, Tokens(input=1), Outcome.OK, now)])
    assert list(OpenCall.objects.values_list("call_id", flat=True)) == [open_call]


def test_a_call_that_is_opened_and_settled_at_once_is_not_open(context, now):
    call_id = uuid.uuid4()
    opened = ledger.opened(context, call_id, Tokens(input=400), now)
    ledger.append([opened, ledger.settled(context, call_id, Tokens(input=1), Outcome.OK, now)])
    assert not OpenCall.objects.exists()


def test_a_call_that_is_opened_after_its_settlement_is_not_open(context, now):
    call_id = uuid.uuid4()
    ledger.append([ledger.settled(context, call_id, Tokens(input=1), Outcome.OK, now)])
    ledger.append([ledger.opened(context, call_id, Tokens(input=400), now)])
    assert not OpenCall.objects.exists()


def test_finds_open_calls_without_reading_the_ledger(call):
    call()
    plan = UsageRecord.objects.open_calls().explain()
    assert "billing_opencall" in plan
