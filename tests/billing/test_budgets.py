"""Budgets: what is set aside before a model call, counted after it, and refused where there is no room."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest
from django.utils import timezone

from agentplatform.lib.errors import BudgetExceeded
from billing import ledger
from billing.budgets import room
from billing.budgets.counters import burnt, compare, recount
from billing.budgets.room import Room, Shortfall
from billing.ledger import Tokens
from billing.models import BudgetNotice, BudgetPeriod, UsageRecord
from tests.billing.budgets import Calls, counted, differences
from tests.factories import BudgetFactory, PriceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls(workspace):
    PriceFactory(workspace=workspace)
    return Calls.of(workspace)


def test_sets_aside_what_a_call_may_take_at_most(workspace, calls):
    budget = BudgetFactory(workspace=workspace)
    calls.open(input_tokens=1000, most_output=2000)

    assert counted(budget) == (0, Decimal("0.018"), 0, 3000)


def test_counts_what_the_call_took_and_frees_what_was_set_aside(workspace, calls):
    budget = BudgetFactory(workspace=workspace)
    calls.settle(calls.open(), Tokens(input=500, output=100))

    assert counted(budget) == (Decimal("0.0018"), 0, 600, 0)


def test_counts_a_settlement_that_is_repeated_once(workspace, calls):
    budget = BudgetFactory(workspace=workspace)
    call_id = calls.make()
    calls.settle(call_id)

    assert counted(budget) == (Decimal("0.01"), 0, 2000, 0)


def test_frees_what_a_lost_call_had_set_aside(workspace, calls):
    budget, run_id = BudgetFactory(workspace=workspace), uuid.uuid4()
    calls.open(run_id=run_id)
    ledger.settle_open([run_id], timezone.now(), {})

    assert counted(budget) == (Decimal("0.002"), 0, 1000, 0)


def test_refuses_the_call_that_would_go_over_it(workspace, calls):
    BudgetFactory(workspace=workspace, limit_amount=Decimal("0.02"))
    calls.make()
    calls.open()

    assert isinstance(calls.open(), Shortfall)


def test_has_room_up_to_the_last_of_it(workspace, calls):
    BudgetFactory(workspace=workspace, limit_amount=Decimal("0.02"))
    calls.make()

    assert not isinstance(calls.open(), Shortfall)


def test_writes_nothing_of_a_call_that_it_refuses(workspace, calls):
    budget = BudgetFactory(workspace=workspace, limit_amount=Decimal("0.001"))
    calls.open()

    assert counted(budget) == (0, 0, 0, 0)
    assert not UsageRecord.objects.exists()


def test_limits_tokens_too(workspace, calls):
    BudgetFactory(workspace=workspace, limit_amount=None, limit_tokens=3999)
    calls.make()

    assert calls.open().limit == "tokens"


def test_only_alerts_where_it_says_so(workspace, calls):
    budget = BudgetFactory(workspace=workspace, limit_amount=Decimal("0.001"), action="alert")
    calls.make()

    assert counted(budget)[0] == Decimal("0.01")


@pytest.mark.parametrize(
    ("scope", "who"),
    [
        ({"provider": "openai"}, {"provider": "anthropic"}),
        ({"provider": "openai", "model": "house-model"}, {"model": "another"}),
        ({"agent_id": uuid.UUID(int=1)}, {"agent_id": uuid.UUID(int=2)}),
        ({"user_id": uuid.UUID(int=1)}, {"user_id": None}),
        ({"api_key_id": uuid.UUID(int=1)}, {"api_key_id": uuid.UUID(int=2)}),
        ({"agent_id": uuid.UUID(int=1), "user_id": uuid.UUID(int=1)}, {"agent_id": uuid.UUID(int=1)}),
    ],
)
def test_is_of_the_calls_that_it_names(workspace, calls, scope, who):
    """The trigger in SQL and the decision in Python agree: neither sees a call of somebody else's."""
    budget = BudgetFactory(workspace=workspace, limit_amount=None, limit_tokens=10_000, **scope)
    calls.make(**who)
    of_others = counted(budget)
    named = {name: value for name, value in scope.items() if name not in ("provider", "model")}
    calls.make(**named)

    assert of_others == (0, 0, 0, 0)
    assert counted(budget)[2:] == (2000, 0)


def test_is_of_its_own_workspace_alone(workspace, other_workspace, calls):
    budget = BudgetFactory(workspace=other_workspace)
    calls.make()

    assert counted(budget) == (0, 0, 0, 0)


def test_refuses_a_model_without_a_price_where_money_is_limited(workspace, calls):
    BudgetFactory(workspace=workspace)
    refused = calls.open(model="unheard-of")

    assert "Set a price for it, or limit the budget's tokens, too." in refused.message


def test_takes_tokens_for_a_limit_where_no_price_is_known(workspace, calls):
    BudgetFactory(workspace=workspace, limit_tokens=10_000)

    assert not isinstance(calls.open(model="unheard-of"), Shortfall)


def test_refuses_costs_in_another_currency_than_its_own(workspace, calls):
    BudgetFactory(workspace=workspace, currency="EUR")

    assert calls.open().unpriced


def test_answers_402_with_the_time_at_which_it_begins_anew(workspace, calls):
    BudgetFactory(workspace=workspace, name="daily", limit_amount=Decimal("0.001"))
    record = ledger.opened(calls.context, uuid.uuid4(), Tokens(input=1000), timezone.now())
    with pytest.raises(BudgetExceeded, match="daily") as refused:
        room.open_call(record)

    assert refused.value.details["value"] == "0.001"
    assert 0 < refused.value.wait <= 86_400


def test_tells_each_level_once(workspace, calls):
    budget = BudgetFactory(workspace=workspace, limit_amount=Decimal("0.04"), action="alert")
    levels = []
    for _ in range(5):
        calls.make()
        levels.append(list(BudgetNotice.objects.filter(budget=budget).values_list("level", flat=True)))

    assert [sorted(one) for one in levels] == [[], [50], [50], [50, 80, 100], [50, 80, 100]]


def test_tells_that_it_is_exceeded_where_it_refuses_first(workspace, calls):
    budget = BudgetFactory(workspace=workspace, limit_amount=Decimal("0.015"))
    calls.make()
    calls.open()

    assert set(BudgetNotice.objects.filter(budget=budget).values_list("level", flat=True)) == {50, 100}


def test_tells_nothing_while_it_is_disabled(workspace, calls):
    budget = BudgetFactory(workspace=workspace, limit_amount=Decimal("0.001"), enabled=False)
    calls.make()

    assert not budget.notices.exists()
    assert counted(budget)[0] == Decimal("0.01")


def test_counts_what_repricing_corrects_in_the_period_of_the_call(workspace, calls):
    budget = BudgetFactory(workspace=workspace, limit_amount=Decimal(1))
    yesterday = timezone.now() - timezone.timedelta(days=1)
    call_id = calls.make(at=yesterday)
    settled = UsageRecord.objects.get(call_id=call_id, entry="settled")
    ledger.append(corrections(settled, Decimal("0.5")))

    assert BudgetPeriod.objects.get(budget=budget).spent_amount == Decimal("0.5")
    assert not differences()


def test_begins_no_counter_for_a_correction_of_a_time_before_it_was_made(workspace, calls):
    """It would know of the correction, and of nothing else that the period has seen."""
    calls.make(at=(yesterday := timezone.now() - timezone.timedelta(days=1)))
    call_id = calls.make(at=yesterday)
    budget = BudgetFactory(workspace=workspace)
    ledger.append(corrections(UsageRecord.objects.get(call_id=call_id, entry="settled"), Decimal("0.5")))

    assert not budget.periods.exists()


def corrections(settled: UsageRecord, cost: Decimal) -> list[UsageRecord]:
    """The reversal and the replacement that repricing appends."""
    fields = {
        field.attname: getattr(settled, field.attname)
        for field in UsageRecord._meta.concrete_fields
        if field.attname not in ("id", "recorded_at")
    }
    fields |= {"correction_of": settled.pk, "revision": settled.revision + 1}
    negated = {name: -fields[name] for name in ("cost", "input_tokens", "output_tokens", "requests")}
    return [
        UsageRecord(**{**fields, **negated, "is_reversal": True}),
        UsageRecord(**{**fields, "cost": cost}),
    ]


def test_takes_from_the_ledger_what_was_spent_before_it_was_made(workspace, calls):
    calls.make()
    budget = BudgetFactory(workspace=workspace)
    calls.make()
    period = BudgetPeriod.objects.get(budget=budget)
    recount(budget, period.period_start)

    assert counted(budget)[0] == Decimal("0.02")


def test_finds_a_counter_that_was_changed(workspace, calls):
    budget = BudgetFactory(workspace=workspace)
    calls.make()
    BudgetPeriod.objects.filter(budget=budget).update(spent_amount=Decimal(5), reserved_tokens=7)

    found = {one.column: (one.found, one.expected) for one in differences()}
    assert found == {"spent_amount": (5, Decimal("0.01")), "reserved_tokens": (7, 0)}


def test_mends_a_counter_once(workspace, calls):
    budget = BudgetFactory(workspace=workspace)
    calls.make()
    period = BudgetPeriod.objects.get(budget=budget)
    BudgetPeriod.objects.filter(budget=budget).update(spent_amount=Decimal(5))
    recount(budget, period.period_start)
    recount(budget, period.period_start)

    assert not compare(budget, period.period_start)


def test_says_how_much_is_burnt_the_most_first(workspace, other_workspace, calls):
    BudgetFactory(workspace=workspace, name="large")
    BudgetFactory(workspace=workspace, name="small", limit_amount=Decimal("0.04"))
    BudgetFactory(workspace=other_workspace, name="theirs")
    calls.make()

    assert [(budget.name, str(percent)) for budget, percent in burnt([workspace.pk])] == [
        ("small", "25.0"),
        ("large", "1.0"),
    ]


def test_reads_what_is_burnt_with_as_many_queries_for_many(workspace, calls, django_assert_num_queries):
    for _ in range(5):
        BudgetFactory(workspace=workspace)
    calls.make()

    with django_assert_num_queries(3):
        burnt([workspace.pk])


def test_has_room_that_a_call_leaves_which_is_settled_in_the_same_flush(workspace, calls):
    BudgetFactory(workspace=workspace, limit_amount=None, limit_tokens=3000)
    now, first, second = timezone.now(), calls.open(), uuid.uuid4()
    records = [
        ledger.settled(calls.context, first, Tokens(input=500), "ok", now),
        ledger.opened(calls.context, second, Tokens(input=1000), now, 1000),
    ]

    assert Room(records, now).take(records) == {}
    assert set(Room(records, now).take(records[1:])) == {second}
