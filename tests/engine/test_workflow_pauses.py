"""Runs of workflows that are paused, resumed and cancelled: where they rest, and what rests with them."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from agentplatform.lib.concurrency import in_thread
from billing.models import UsageRecord
from runs import lifecycle, live
from runs.models import Run, Status
from tests.engine.support import at_rest, events_of, finished, until
from tests.engine.workflows import (
    FAN,
    LINE,
    ONCE,
    OUTER,
    STEPS_OF_FAN,
    asked,
    is_balanced,
    pause,
    publish,
    resume,
    start,
    steps_of,
    until_told,
)

pytestmark = pytest.mark.django_db(transaction=True)


# --- paused ---


async def test_rests_before_the_next_nodes_call(worker, workspace, alice, chat_models):
    await in_thread(chat_models, slow="slow-10-60")
    run = await start(alice, await publish(workspace, LINE))
    await until_told(run, "content_delta", "one")
    await pause(run)
    await at_rest(run)

    assert await steps_of(run.id) == [(1, "one", "model")]
    assert await is_balanced(run)


async def test_goes_on_with_the_node_that_it_rested_before(worker, workspace, alice, chat_models, endpoint):
    await in_thread(chat_models, slow="slow-10-60")
    run = await start(alice, await publish(workspace, LINE))
    await until_told(run, "content_delta", "one")
    await pause(run)
    await at_rest(run)
    await resume(run)
    ended = await finished(run)

    assert (ended.response_content, asked(endpoint)) == ("done", {"one": 1, "two": 1})
    assert [event.seq for event in await events_of(run.id)] == list(range(1, ended.last_seq + 1))


async def test_lets_the_neighbour_under_way_end_before_it_rests(
    worker, workspace, alice, chat_models, endpoint
):
    await in_thread(chat_models, gpt="text-3", slow="slow-10-100")
    run = await start(alice, await publish(workspace, FAN))
    await until_told(run, "step_completed", "quick")
    await pause(run)
    await at_rest(run)
    assert await steps_of(run.id) == STEPS_OF_FAN[:4]
    await resume(run)

    assert ((await finished(run)).output, asked(endpoint)) == (3, ONCE)


async def test_tells_of_each_step_that_has_begun_and_ended_once(worker, workspace, alice, chat_models):
    await in_thread(chat_models, gpt="text-3", slow="slow-10-100")
    run = await start(alice, await publish(workspace, FAN))
    await until_told(run, "step_completed", "quick")
    await pause(run)
    await at_rest(run)
    await resume(run)
    events = await events_of(run.id)
    begun = Counter(event.node for event in events if event.type == "step_started")
    ended = Counter(event.node for event in events if event.type == "step_completed")

    assert begun == ended == Counter(node for _, node, _ in STEPS_OF_FAN)


BESIDE = """
name: beside
state: {n: {type: integer}}
nodes:
  - {id: start, kind: start}
  - {id: first, kind: llm, model: slow, prompt: "first"}
  - {id: fan, kind: parallel, join: merge}
  - {id: count, kind: transform, set: {n: "1"}}
  - {id: say, kind: llm, model: slow, prompt: "say"}
  - {id: merge, kind: join}
  - {id: end, kind: end, output: "{{ state.n }}"}
edges:
  - {from: start, to: first}
  - {from: first, to: fan}
  - {from: fan, to: count}
  - {from: fan, to: say}
  - {from: count, to: merge}
  - {from: say, to: merge}
  - {from: merge, to: end}
"""


async def test_tells_of_the_node_that_had_ended_beside_the_one_that_it_rests_before(
    worker, workspace, alice, chat_models
):
    await in_thread(chat_models, slow="slow-8-60")
    run = await start(alice, await publish(workspace, BESIDE))
    await until_told(run, "content_delta", "first")
    await pause(run)
    await at_rest(run)
    told = [event.type async for event in run.events.filter(node="count").order_by("seq")]

    assert told == ["step_started", "step_completed"]


async def test_goes_on_at_once_when_it_is_resumed_before_it_rests(worker, workspace, alice, chat_models):
    await in_thread(chat_models, gpt="text-3", slow="slow-10-100")
    run = await start(alice, await publish(workspace, FAN))
    await until_told(run, "content_delta", "slow")
    await pause(run)
    await resume(run)

    assert ((ended := await finished(run)).status, ended.attempt) == (Status.COMPLETED, 1)


# --- cancelled ---


async def test_stops_all_branches_when_it_is_cancelled(worker, workspace, alice, chat_models):
    await in_thread(chat_models, gpt="slow-50-50", slow="slow-50-50")
    run = await start(alice, await publish(workspace, FAN))
    await until_told(run, "content_delta", "quick")
    await until_told(run, "content_delta", "slow")
    live.announce(await in_thread(lifecycle.cancel, run.id))
    await until(run, lambda now: now.worker_id is None)

    statuses = UsageRecord.objects.filter(run_id=run.id, entry="settled").values_list("status", flat=True)
    assert [status async for status in statuses] == ["cancelled"] * 2
    assert await is_balanced(run)


@pytest.fixture
async def outer(workspace, chat_models):
    """A workflow that calls one whose second branch takes its time."""
    await in_thread(chat_models, gpt="text-3", slow="slow-10-50")
    await publish(workspace, FAN)
    return await publish(workspace, OUTER)


async def child_of(run: Run) -> Run:
    async with asyncio.timeout(20):
        while (child := await Run.objects.filter(parent=run).afirst()) is None:
            await asyncio.sleep(0.01)
    return child


async def test_cancels_what_its_nodes_have_started(worker, outer, alice):
    run = await start(alice, outer)
    child = await child_of(run)
    await until_told(child, "content_delta", "slow")
    live.announce(await in_thread(lifecycle.cancel, run.id))

    assert (await finished(child)).status == Status.CANCELLED


async def test_pauses_what_its_nodes_have_started_with_it(worker, outer, alice, endpoint):
    run = await start(alice, outer)
    child = await child_of(run)
    await until_told(child, "content_delta", "slow")
    await pause(run)
    await at_rest(child)
    assert (await at_rest(run)).status == Status.PAUSED
    await resume(run)

    assert ((await finished(run)).output, asked(endpoint)) == (3, ONCE)
