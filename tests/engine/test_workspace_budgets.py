"""Budgets of a workspace and its runs: who is refused, who rests, and that nothing is spent beyond them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
import pytest_asyncio
from django.db.models import F
from django.utils import timezone

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import BudgetExceeded, Conflict
from billing.budgets import listing
from billing.budgets.counters import present_start
from billing.models import Budget, BudgetHold, BudgetPeriod, BudgetReservation, UsageRecord
from runs import budget_news, lifecycle
from runs.engine.worker import Worker
from runs.models import Status
from tests.billing.budgets import differences
from tests.engine.support import at_rest, entries_of, finished, last_event, let_go, start, until
from tests.engine.workflows import FAN, publish_now
from tests.engine.workflows import start as start_workflow
from tests.factories import BudgetFactory, PriceFactory, ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

CALCULATE = 'call calculator {"expression": "6 * 7"}'


@pytest.fixture
def agent(agent_on, workspace):
    """It calls its model twice: to ask for the calculator, and to answer. A call may take 8 tokens to answer."""
    PriceFactory(workspace=workspace, model="text-5", input_per_million=1, output_per_million=1000)
    return agent_on(
        "text-5", tools=[ToolFactory(workspace=workspace, name="calculator")], config={"max_tokens": 8}
    )


def spend(budget: Budget, **spent) -> None:
    """As if so much of its present period was spent."""
    start = present_start(budget, timezone.now())
    BudgetPeriod.objects.update_or_create(budget=budget, period_start=start, defaults=spent)


@pytest_asyncio.fixture
async def enough_for_one(worker, agent, workspace, alice):
    """The fields of a budget with room for either of a run's two calls, and not for both."""
    await finished(await start(alice, agent, CALCULATE))
    second = await UsageRecord.objects.filter(entry="opened").order_by("-id").afirst()
    return {"workspace": workspace, "limit_amount": None, "limit_tokens": second.input_tokens + 8}


async def test_counts_what_a_run_has_cost(worker, agent, workspace, alice):
    budget = await in_thread(BudgetFactory, workspace=workspace)
    run = await finished(await start(alice, agent, CALCULATE))

    period = await BudgetPeriod.objects.aget(budget=budget)
    assert (period.spent_amount, period.reserved_amount) == (run.cost, 0)
    assert run.cost > 0


async def test_refuses_to_start_where_it_is_spent(worker, agent, workspace, alice):
    budget = await in_thread(BudgetFactory, workspace=workspace)
    await in_thread(spend, budget, spent_amount=Decimal(1))

    with pytest.raises(BudgetExceeded):
        await start(alice, agent)


async def test_refuses_to_start_where_there_is_no_room_for_the_first_call(worker, agent, workspace, alice):
    await in_thread(BudgetFactory, workspace=workspace, limit_amount=Decimal("0.001"))

    with pytest.raises(BudgetExceeded):
        await start(alice, agent)


async def test_fails_a_run_in_the_middle(worker, agent, alice, enough_for_one):
    await in_thread(BudgetFactory, **enough_for_one, name="daily")
    run = await finished(await start(alice, agent, CALCULATE))

    assert (run.status, run.error["class"]) == (Status.FAILED, "budget_exceeded")
    assert "'daily'" in run.error["message"]


async def test_rests_where_the_budget_pauses(worker, agent, alice, enough_for_one):
    budget = await in_thread(BudgetFactory, **enough_for_one, action="pause")
    run = await at_rest(await start(alice, agent, CALCULATE))

    said = await last_event(run, "run_paused")
    assert (said["reason"], said["budget_id"], said["limit"]) == ("budget_exceeded", str(budget.pk), "tokens")
    assert not await BudgetReservation.objects.aexists()


async def test_is_not_resumed_while_there_is_no_room(worker, agent, alice, enough_for_one):
    await in_thread(BudgetFactory, **enough_for_one, action="pause")
    run = await at_rest(await start(alice, agent, CALCULATE))

    with pytest.raises(Conflict, match="has no room"):
        await in_thread(lifecycle.resume, run.pk)


async def test_goes_on_by_itself_when_the_budget_is_raised(worker, agent, alice, enough_for_one):
    await in_thread(BudgetFactory, **enough_for_one, action="pause")
    run = await at_rest(await start(alice, agent, CALCULATE))
    assert await in_thread(budget_news.resume) == []
    await Budget.objects.aupdate(limit_tokens=100_000)
    await in_thread(budget_news.resume)

    assert (await finished(run)).status == Status.COMPLETED
    assert not await BudgetHold.objects.aexists()


async def test_goes_on_by_itself_when_the_budget_begins_anew(worker, agent, alice, enough_for_one):
    await in_thread(BudgetFactory, **enough_for_one, action="pause")
    run = await at_rest(await start(alice, agent, CALCULATE))
    day = timedelta(days=1)
    await BudgetPeriod.objects.aupdate(period_start=F("period_start") - day, period_end=F("period_end") - day)
    await in_thread(budget_news.resume)

    assert (await finished(run)).status == Status.COMPLETED


async def test_warns_before_the_run_ends(worker, agent, alice, workspace):
    await in_thread(BudgetFactory, workspace=workspace, limit_tokens=1, action="alert")
    run = await finished(await start(alice, agent, CALCULATE))

    told = [(event.type, event.data.get("level")) async for event in run.events.order_by("seq")]
    assert [level for kind, level in told if kind == "budget_warning"] == [50, 80, 100]
    assert told[-1] == ("run_completed", None)


@pytest.mark.parametrize("workers", [1, 2])
async def test_is_never_exceeded_by_fifty_runs_at_once(worker, agent, workspace, alice, workers):
    """Two workers have two journals, each with a connection of its own."""
    others = [Worker(concurrency=20) for _ in range(workers - 1)]
    for other in others:
        await other.start()
        await other.ready.wait()
    budget = await in_thread(BudgetFactory, workspace=workspace, limit_amount=Decimal("0.1"))
    started = [await start(alice, agent, CALCULATE, start=False) for _ in range(50)]
    for run in started:
        await in_thread(lifecycle.enqueue, run.pk)
    runs = await asyncio.gather(*(finished(run) for run in started))
    await let_go(worker)
    for other in others:
        await other.stop()

    period = await BudgetPeriod.objects.aget(budget=budget)
    ledger = [record.cost async for record in UsageRecord.objects.filter(entry="settled")]
    assert {run.status for run in runs} <= {Status.COMPLETED, Status.FAILED}
    assert Status.FAILED in {run.status for run in runs}
    assert period.spent_amount == sum(ledger)
    assert Decimal("0.05") < period.spent_amount <= Decimal("0.1")
    assert (period.reserved_amount, period.reserved_tokens) == (0, 0)
    assert not await in_thread(differences)


async def test_knows_of_a_new_budget_within_seconds(worker, agent, workspace, alice, monkeypatch):
    monkeypatch.setattr(listing, "TTL_SECONDS", 0.05)
    await finished(await start(alice, agent))
    await Budget.objects.acreate(
        workspace=workspace,
        name="new",
        period="day",
        limit_tokens=1,
        action="block",
        currency="USD",
        time_zone="UTC",
    )
    await asyncio.sleep(3.1)

    with pytest.raises(BudgetExceeded):
        await start(alice, agent)


async def test_stays_at_rest_where_a_person_pauses_it_too(worker, agent, alice, enough_for_one):
    await in_thread(BudgetFactory, **enough_for_one, action="pause")
    run = await at_rest(await start(alice, agent, CALCULATE))
    await in_thread(lifecycle.pause, run.pk)
    await Budget.objects.aupdate(limit_tokens=100_000)

    assert await in_thread(budget_news.resume) == []


async def test_rests_no_more_when_it_is_cancelled(worker, agent, alice, enough_for_one):
    await in_thread(BudgetFactory, **enough_for_one, action="pause")
    run = await at_rest(await start(alice, agent, CALCULATE))
    await in_thread(lifecycle.cancel, run.pk)

    assert not await BudgetHold.objects.aexists()


@pytest.fixture
def fan(workspace, chat_models):
    """A workflow that asks two models at once, each of which may answer 4096 tokens."""
    chat_models(gpt="text-3", slow="slow-3-100")
    return publish_now(workspace, FAN)


async def test_lets_neighbours_end_before_it_rests(worker, fan, alice, workspace):
    """There is room for one of two nodes, and none for the other after it."""
    fields = {"workspace": workspace, "limit_amount": None, "limit_tokens": 4100}
    await in_thread(BudgetFactory, **fields, action="pause")
    run = await at_rest(await start_workflow(alice, fan))

    assert [status for entry, status in await entries_of(run) if entry == "settled"] == ["ok"]
    assert (await last_event(run, "run_paused"))["reason"] == "budget_exceeded"


async def test_goes_on_when_a_neighbour_has_left_room(worker, fan, alice, workspace):
    """There is room for one of two nodes at a time."""
    fields = {"workspace": workspace, "limit_amount": None, "limit_tokens": 5000}
    await in_thread(BudgetFactory, **fields, action="pause")
    run = await until(await start_workflow(alice, fan), lambda now: now.status == Status.COMPLETED)

    assert run.status == Status.COMPLETED
    assert [status for entry, status in await entries_of(run) if entry == "settled"] == ["ok"] * 3


async def test_fails_both_where_the_budget_blocks(worker, fan, alice, workspace):
    fields = {"workspace": workspace, "limit_amount": None, "limit_tokens": 5000}
    await in_thread(BudgetFactory, **fields)
    run = await finished(await start_workflow(alice, fan))

    assert (run.status, run.error["class"]) == (Status.FAILED, "budget_exceeded")
    assert not await BudgetReservation.objects.aexists()
