"""A worker that is told to stop: what it finishes, what it hands back, and that nothing is done twice."""

from __future__ import annotations

import pytest

from agentplatform.lib.concurrency import in_thread
from runs.engine.worker import Worker
from runs.models import Run, RunStep, Status
from tests.engine.support import entries_of, events_of, finished, last_event, start, types, until
from tests.factories import ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

CALCULATE = 'call calculator {"expression": "6 * 7"}'


@pytest.fixture
def tool_agent(agent_on, workspace):
    """Its model takes half a second to ask for the calculator, and half a second for its answer."""
    return agent_on("slow-5-100", tools=[ToolFactory(workspace=workspace, name="calculator")])


async def stopped_in_the_first_call(worker, agent, alice) -> Run:
    run = await start(alice, agent, CALCULATE)
    await until(run, lambda now: now.status == Status.RUNNING and now.last_seq >= 3)
    await worker.stop()
    return await Run.objects.aget(pk=run.pk)


async def test_ends_the_call_under_way_and_begins_nothing_more(worker, tool_agent, alice):
    run = await stopped_in_the_first_call(worker, tool_agent, alice)

    steps = [step async for step in RunStep.objects.filter(run=run).values_list("type", flat=True)]
    assert (run.status, run.worker_id, steps) == (Status.QUEUED, None, ["model"])
    assert await entries_of(run) == [("opened", "pending"), ("settled", "ok")]


async def test_says_why_it_is_back_in_the_queue(worker, tool_agent, alice):
    run = await stopped_in_the_first_call(worker, tool_agent, alice)

    assert (await last_event(run, "run_queued"))["reason"] == "worker_stopped"


async def test_lets_another_worker_go_on_where_it_stopped(worker, tool_agent, alice):
    run = await stopped_in_the_first_call(worker, tool_agent, alice)
    other = Worker(concurrency=1)
    await other.start()
    try:
        ended = await finished(run)
    finally:
        await other.stop()

    told = types(await events_of(run.pk))
    assert (ended.status, ended.losses, told.count("tool_call_started")) == (Status.COMPLETED, 0, 1)


async def test_finishes_a_run_that_needs_no_further_call(worker, agent_on, alice):
    run = await stopped_in_the_first_call(worker, await in_thread(agent_on, "slow-5-100"), alice)

    assert run.status == Status.COMPLETED
