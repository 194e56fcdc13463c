"""Pausing and resuming a run that a worker has in hand: where it stops, what it leaves, how it goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agentplatform.lib.concurrency import in_thread
from agents.tools import functions
from billing.models import UsageRecord
from runs import lifecycle, live
from runs.events import rebuild_text
from runs.models import Run, RunStep, Status, ToolCall
from tests.engine.support import (
    PATIENCE_SECONDS,
    at_rest,
    entries_of,
    events_of,
    finished,
    start,
    types,
    until,
)
from tests.factories import ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

CALCULATE = 'call calculator {"expression": "6 * 7"}'


@pytest.fixture
def tool_agent(agent_on, workspace):
    """Its model takes half a second to ask for the calculator, and half a second for its answer."""
    return agent_on("slow-5-100", tools=[ToolFactory(workspace=workspace, name="calculator")])


async def pause(run: Run) -> Status:
    status, events = await in_thread(lifecycle.pause, run.id)
    live.announce(events)
    return status


async def resume(run: Run) -> Status:
    status, events = await in_thread(lifecycle.resume, run.id)
    live.announce(events)
    return status


async def under_way(run: Run) -> Run:
    return await until(run, lambda now: now.status == Status.RUNNING and now.last_seq >= 3)


async def test_says_at_once_that_it_pauses(worker, agent_on, alice):
    run = await start(alice, await in_thread(agent_on, "text-20-50"))
    await under_way(run)

    assert await pause(run) == Status.PAUSING


async def test_ends_the_model_call_and_rests_before_the_tools(worker, tool_agent, alice):
    run = await start(alice, tool_agent, CALCULATE)
    await under_way(run)
    await pause(run)
    rested = await at_rest(run)

    steps = [step async for step in RunStep.objects.filter(run=run).values_list("type", flat=True)]
    assert (steps, rested.worker_id) == (["model"], None)
    assert await entries_of(run) == [("opened", "pending"), ("settled", "ok")]


async def test_claims_no_call_that_it_does_not_make(worker, tool_agent, alice):
    run = await start(alice, tool_agent, CALCULATE)
    await under_way(run)
    await pause(run)
    await at_rest(run)

    assert not await ToolCall.objects.filter(run=run).aexists()


async def test_tells_nothing_of_the_step_that_it_does_not_begin(worker, tool_agent, alice):
    run = await start(alice, tool_agent, CALCULATE)
    await under_way(run)
    await pause(run)
    await at_rest(run)

    told = [event.type async for event in run.events.order_by("seq")]
    assert told[-3:] == ["step_completed", "checkpoint_created", "run_paused"]
    assert told.count("step_started") == 1


async def test_goes_on_where_it_rested(worker, tool_agent, alice, endpoint):
    run = await start(alice, tool_agent, CALCULATE)
    await under_way(run)
    await pause(run)
    await at_rest(run)
    resumed = await resume(run)
    ended = await finished(run)

    events = await events_of(run.id)
    assert (resumed, ended.status, ended.attempt) == (Status.QUEUED, Status.COMPLETED, 2)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert (types(events).count("tool_call_started"), types(events).count("usage_recorded")) == (1, 2)
    assert rebuild_text(events) == ended.response_content


async def test_opens_no_call_that_it_does_not_make(worker, tool_agent, alice):
    run = await start(alice, tool_agent, CALCULATE)
    await until(run, lambda now: now.total_steps == 2)
    # The second model call is under way by now, or about to be: either way each entry has its settlement.
    await pause(run)
    await until(run, lambda now: now.status in (Status.PAUSED, Status.COMPLETED))

    entries = await entries_of(run)
    assert entries.count(("opened", "pending")) == entries.count(("settled", "ok"))


async def test_completes_when_nothing_is_left_to_do(worker, agent_on, alice):
    run = await start(alice, await in_thread(agent_on, "text-10-50"))
    await under_way(run)
    await pause(run)

    assert (await finished(run)).status == Status.COMPLETED


async def test_goes_on_at_once_when_it_is_resumed_before_it_rests(worker, tool_agent, alice):
    run = await start(alice, tool_agent, CALCULATE)
    await under_way(run)
    statuses = [await pause(run), await resume(run)]
    ended = await finished(run)

    assert statuses == [Status.PAUSING, Status.RUNNING]
    assert (ended.status, ended.attempt) == (Status.COMPLETED, 1)


async def test_lets_tools_under_way_end_first(worker, agent_on, workspace, alice, monkeypatch):
    async def slow(expression: str) -> str:
        await asyncio.sleep(0.5)
        return expression

    own = functions.registry["calculator"]
    monkeypatch.setitem(functions.registry, "calculator", replace(own, body=slow))
    agent = await in_thread(
        lambda: agent_on("text-5", tools=[ToolFactory(workspace=workspace, name="calculator")])
    )
    run = await start(alice, agent, f"{CALCULATE}\n{CALCULATE}")
    await until(run, lambda now: now.total_steps == 1 and now.last_seq > 8)
    await pause(run)
    await at_rest(run)

    told = [event.type async for event in run.events.order_by("seq")]
    assert (told.count("tool_call_started"), told.count("tool_call_completed")) == (2, 2)


async def test_is_cancelled_while_it_rests(worker, tool_agent, alice):
    run = await start(alice, tool_agent, CALCULATE)
    await under_way(run)
    await pause(run)
    await at_rest(run)
    await in_thread(lifecycle.cancel, run.id)

    assert (await finished(run)).status == Status.CANCELLED


async def test_rests_when_its_worker_stops_while_it_pauses(worker, agent_on, alice):
    run = await start(alice, await in_thread(agent_on, "hang"))
    await under_way(run)
    await pause(run)
    worker.executor.give_up_all()
    await at_rest(run)

    assert "run_queued" not in [event.type async for event in run.events.filter(seq__gt=1)]


async def test_loses_no_money_of_a_call_that_failed_before_it_rested(worker, agent_on, alice):
    run = await start(alice, await in_thread(agent_on, "fail-once-500", config={"retries": 2}))
    await until(run, lambda now: now.status == Status.RUNNING)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await run.events.filter(type="retrying").aexists():
            await asyncio.sleep(0.01)
    await pause(run)
    await at_rest(run)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await UsageRecord.objects.filter(run_id=run.id).acount() < 2:
            await asyncio.sleep(0.01)

    assert await entries_of(run) == [("opened", "pending"), ("settled", "failed")]
    await resume(run)
    assert (await finished(run)).status == Status.COMPLETED
