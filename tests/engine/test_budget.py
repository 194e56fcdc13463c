"""The limits of one run: where it stops when one is used up, and how it goes on with a higher one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import Conflict
from runs import lifecycle
from runs.models import Run, RunStep, Status
from tests.engine.support import at_rest, entries_of, finished, last_event, start, until
from tests.factories import PriceFactory, ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

CALCULATE = 'call calculator {"expression": "6 * 7"}'


@pytest.fixture
def tool_agent(agent_on, workspace):
    """It calls its model twice: to ask for the calculator, and to answer."""
    return agent_on("text-5", tools=[ToolFactory(workspace=workspace, name="calculator")])


async def test_pauses_before_the_call_that_would_go_over_its_tokens(worker, tool_agent, alice):
    run = await at_rest(await start(alice, tool_agent, CALCULATE, limits={"max_tokens": 1}))

    steps = [step async for step in RunStep.objects.filter(run=run).values_list("type", flat=True)]
    assert (run.status, steps) == (Status.PAUSED, ["model", "tool"])
    assert await entries_of(run) == [("opened", "pending"), ("settled", "ok")]


async def test_says_which_limit_is_used_up(worker, tool_agent, alice):
    run = await at_rest(await start(alice, tool_agent, CALCULATE, limits={"max_tokens": 1}))

    said = await last_event(run, "run_paused")
    assert said == {
        "run_id": str(run.pk),
        "reason": "budget_exceeded",
        "limit": "max_tokens",
        "value": 1,
        "used": run.total_tokens,
    }


async def test_pauses_when_its_money_is_spent(worker, tool_agent, alice, workspace):
    await in_thread(PriceFactory, workspace=workspace, model="text-5")
    run = await at_rest(await start(alice, tool_agent, CALCULATE, limits={"max_cost": "0.000001"}))

    assert (await last_event(run, "run_paused"))["limit"] == "max_cost"
    assert run.cost > Decimal("0.000001")


async def test_pauses_where_money_is_limited_and_the_price_unknown(worker, tool_agent, alice):
    run = await at_rest(await start(alice, tool_agent, CALCULATE, limits={"max_cost": "100"}))

    assert (await last_event(run, "run_paused"))["limit"] == "max_cost"


async def test_takes_tokens_for_a_limit_where_the_price_is_unknown(worker, tool_agent, alice):
    limits = {"max_cost": "100", "max_tokens": 100_000}
    run = await finished(await start(alice, tool_agent, CALCULATE, limits=limits))

    assert run.status == Status.COMPLETED


async def test_pauses_in_the_middle_of_a_model_call_when_its_time_is_over(worker, agent_on, alice):
    agent = await in_thread(agent_on, "slow-100-100")
    # Far less than the answer takes, and long enough for a busy machine to be past the beginning of the call.
    run = await at_rest(await start(alice, agent, limits={"timeout": 3}))

    assert (await last_event(run, "run_paused"))["limit"] == "timeout"
    assert await entries_of(run) == [("opened", "pending"), ("settled", "cancelled")]


async def test_lets_a_tool_come_to_its_end_when_its_time_is_over(worker, agent_on, alice, silent_tool):
    agent = await in_thread(agent_on, "text", tools=[silent_tool])
    # As long as the tool takes, so that a busy machine is past the model call, which would be broken off.
    run = await at_rest(await start(alice, agent, "call sleeper {}", limits={"timeout": 1}))

    assert (await last_event(run, "tool_call_failed"))["error"] == "The tool did not finish within 1 seconds."


async def test_does_not_count_the_time_that_it_rests(worker, tool_agent, alice):
    run = await at_rest(await start(alice, tool_agent, CALCULATE, limits={"max_tokens": 1, "timeout": 60}))

    assert 0 < run.active_seconds < 10
    assert run.attempt_started_at is None


async def test_goes_on_with_a_higher_limit(worker, tool_agent, alice):
    run = await at_rest(await start(alice, tool_agent, CALCULATE, limits={"max_tokens": 1}))
    await in_thread(lifecycle.resume, run.pk, {"max_tokens": 100_000})
    ended = await finished(run)

    assert (ended.status, ended.limits) == (Status.COMPLETED, {"max_tokens": 100_000})


async def test_goes_nowhere_without_one(worker, tool_agent, alice):
    run = await at_rest(await start(alice, tool_agent, CALCULATE, limits={"max_tokens": 1}))

    with pytest.raises(Conflict) as refused:
        await in_thread(lifecycle.resume, run.pk)
    assert refused.value.details["limit"] == "max_tokens"
    assert (await Run.objects.aget(pk=run.pk)).status == Status.PAUSED


async def test_warns_once_when_most_of_a_limit_is_used(worker, tool_agent, alice):
    spent = await finished(await start(alice, tool_agent, CALCULATE))
    limits = {"max_tokens": spent.total_tokens + 1}
    run = await finished(await start(alice, tool_agent, CALCULATE, limits=limits))

    warnings = [event.data async for event in run.events.filter(type="budget_warning")]
    assert [(warning["limit"], warning["used"]) for warning in warnings] == [("max_tokens", run.total_tokens)]


async def test_believes_a_timeout_that_is_raised_meanwhile(worker, agent_on, alice):
    agent = await in_thread(agent_on, "slow-20-100")
    run = await until(
        await start(alice, agent, limits={"timeout": 1}), lambda now: now.status == Status.RUNNING
    )
    await in_thread(lifecycle.resume, run.pk, {"timeout": 60})

    assert (await finished(run)).status == Status.COMPLETED


async def test_counts_a_call_that_broke_off_before_it_is_made_again(worker, agent_on, alice):
    agent = await in_thread(agent_on, "cut-40", config={"retries": 3})
    run = await at_rest(await start(alice, agent, limits={"max_tokens": 5}))

    assert (await entries_of(run)) == [("opened", "pending"), ("settled", "failed")]


async def test_says_what_helps_where_the_price_is_unknown(worker, tool_agent, alice):
    run = await at_rest(await start(alice, tool_agent, CALCULATE, limits={"max_cost": "100"}))

    with pytest.raises(Conflict, match="max_tokens"):
        await in_thread(lifecycle.resume, run.pk, {"max_cost": "500"})
