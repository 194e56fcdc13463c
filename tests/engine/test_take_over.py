"""What happens to the runs of a worker that is killed: another takes them up from their last checkpoint, by itself."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from agentplatform.lib.concurrency import in_thread
from billing.models import UsageRecord
from runs import lifecycle
from runs.events import rebuild_text
from runs.models import Run, RunEvent, RunStep, Status, Worker
from tests.engine.support import data, events_of, finished, start
from tests.factories import ToolFactory
from tests.processes import worker_process

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.external]

SLOW = "slow-60-100"


@pytest.fixture
def slow_agent(agent_on, workspace):
    calculator = ToolFactory(workspace=workspace, name="calculator")
    return agent_on(SLOW, tools=[calculator])


async def wait_for(run: Run, kind: str, count: int = 1) -> None:
    """Until the run has so many events of this kind."""
    until = time.monotonic() + 30
    while await RunEvent.objects.filter(run=run, type=kind).acount() < count:
        if time.monotonic() > until:
            seen = [str(event) async for event in RunEvent.objects.filter(run=run)]
            raise AssertionError(f"No {count} {kind} within 30 s, but {seen}")
        await asyncio.sleep(0.05)


async def test_takes_up_the_run_of_a_killed_worker(slow_agent, alice, endpoint, close_connections):
    """One story, told once because it takes real processes: killed in the second model call, after a tool call."""
    endpoint.script("tool", SLOW, SLOW)
    with worker_process() as one, worker_process() as other:
        run = await start(alice, slow_agent)
        await wait_for(run, "content_delta", 3)
        owner, _ = await in_thread(_owner_first, run, [one, other])
        owner.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        await wait_for(run, "attempt_started")
        seconds = time.monotonic() - killed_at
        run = await finished(run)
    events = await events_of(run.pk)
    started = next(event for event in events if event.type == "attempt_started")
    last_checkpoint = [
        event for event in events if event.type == "checkpoint_created" and event.seq < started.seq
    ][-1]
    steps = [kind async for kind in RunStep.objects.filter(run=run).values_list("type", flat=True)]
    settled = UsageRecord.objects.filter(run_id=run.pk, entry="settled").values_list("status", flat=True)

    assert run.status == Status.COMPLETED, "it completes by itself"
    assert seconds < 5, "it goes on within five seconds"
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), "its events have no hole"
    assert rebuild_text(events) == run.response_content, "what the lost attempt had said is void"
    assert data(started)["resumed_from"] == data(last_checkpoint)["checkpoint_id"]
    assert steps == ["model", "tool", "model"], "no finished step is repeated"
    assert sorted([status async for status in settled]) == ["ok", "ok", "unknown"], (
        "the lost call is in the ledger"
    )


async def test_hands_its_runs_back_when_it_is_stopped(slow_agent, alice, close_connections):
    with worker_process(WORKER_DRAIN_SECONDS="0") as first:
        run = await start(alice, slow_agent)
        await wait_for(run, "content_delta", 3)
        first.send_signal(signal.SIGTERM)
        await asyncio.to_thread(first.wait, 20)
    assert (await in_thread(Run.objects.get, pk=run.pk)).status == Status.QUEUED

    with worker_process():
        assert (await finished(run)).status == Status.COMPLETED


async def test_finishes_what_it_has_in_hand_when_it_is_stopped(agent_on, alice, close_connections):
    agent = await in_thread(agent_on, "slow-10-100")
    with worker_process() as worker:
        run = await start(alice, agent)
        await wait_for(run, "content_delta", 2)
        worker.send_signal(signal.SIGTERM)
        await asyncio.to_thread(worker.wait, 20)

    assert (await in_thread(Run.objects.get, pk=run.pk)).status == Status.COMPLETED


async def test_writes_nothing_when_it_comes_back_after_it_was_given_up(slow_agent, alice, close_connections):
    with worker_process() as stopped, worker_process() as other:
        run = await start(alice, slow_agent)
        await wait_for(run, "content_delta", 3)
        owner, heir = await in_thread(_owner_first, run, [stopped, other])
        owner.send_signal(signal.SIGSTOP)
        await wait_for(run, "attempt_started")
        owner.send_signal(signal.SIGCONT)
        await finished(run)
        events = await events_of(run.pk)

    assert heir.pid != owner.pid
    attempts = [event.attempt for event in events]
    assert attempts == sorted(attempts)


def _owner_first(run: Run, processes: list) -> list:
    pid = Worker.objects.get(pk=Run.objects.get(pk=run.pk).worker_id).pid
    return sorted(processes, key=lambda process: process.pid != pid)


async def test_is_told_within_a_second_that_its_run_is_cancelled(
    slow_agent, alice, endpoint, close_connections
):
    with worker_process():
        run = await start(alice, slow_agent)
        await wait_for(run, "content_delta", 3)
        cancelled_at = time.monotonic()
        await in_thread(lifecycle.cancel, run.pk)
        await wait_for_settlement(run)

    assert time.monotonic() - cancelled_at < 1.5


async def wait_for_settlement(run: Run) -> None:
    async with asyncio.timeout(10):
        while not await UsageRecord.objects.filter(run_id=run.pk, status="cancelled").aexists():
            await asyncio.sleep(0.02)
