"""Runs of workflows whose worker stops or is lost: what a node has done once is never done again."""

from __future__ import annotations

import json

import pytest

from agentplatform.lib.concurrency import in_thread
from agents.workflows.compiler import compile_workflow
from runs.engine.worker import Worker
from runs.models import Run, RunStep, Status, ToolCall
from tests.engine.support import at_rest, data, events_of, finished, types, until
from tests.engine.workflows import (
    FAN,
    ONCE,
    ROUNDS,
    STEPS_OF_FAN,
    asked,
    is_balanced,
    publish,
    start,
    steps_of,
    until_told,
)

pytestmark = pytest.mark.django_db(transaction=True)


# --- handed over ---


async def test_hands_over_what_its_worker_does_not_come_to(worker, workspace, alice, chat_models, endpoint):
    await in_thread(chat_models, gpt="text-3", slow="slow-10-100")
    run = await start(alice, await publish(workspace, FAN))
    await until_told(run, "content_delta", "slow")
    await worker.stop()
    assert (await Run.objects.aget(pk=run.pk)).status == Status.QUEUED
    other = Worker(concurrency=1)
    await other.start()
    try:
        ended = await finished(run)
    finally:
        await other.stop()

    assert (ended.output, ended.losses, asked(endpoint)) == (3, 0, ONCE)


async def test_repeats_only_the_nodes_that_had_not_ended(worker, workspace, alice, chat_models, endpoint):
    await in_thread(chat_models, gpt="text-3", slow="fail-once-hang")
    run = await start(alice, await publish(workspace, FAN))
    await until_told(run, "step_completed", "quick")
    worker.executor.give_up_all()
    ended = await finished(run)

    assert (ended.output, asked(endpoint)) == (3, {**ONCE, "slow": 2})
    assert await steps_of(run.id) == STEPS_OF_FAN
    assert await is_balanced(run)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
async def test_asks_nobody_again_when_only_the_state_after_a_step_was_lost(
    worker, workspace, alice, chat_models, endpoint, stopped_before, step
):
    await in_thread(chat_models, gpt="text-3", slow="text-5")
    stopped_before(step)
    ended = await finished(await start(alice, await publish(workspace, FAN)))

    assert (ended.output, ended.attempt, asked(endpoint)) == (3, 2, ONCE)
    assert await steps_of(ended.id) == STEPS_OF_FAN
    assert ended.total_steps == 5


async def test_overwrites_no_step_of_the_attempt_before(
    worker, workspace, alice, chat_models, stopped_before
):
    await in_thread(chat_models, gpt="text-3", slow="text-5")
    stopped_before(2)
    run = await finished(await start(alice, await publish(workspace, FAN)))
    attempts = RunStep.objects.filter(run=run).order_by("step_num", "node").values_list("attempt", flat=True)

    assert [attempt async for attempt in attempts] == [1, 1, 1, 2, 2, 2]


# --- effects ---


PAY = """
name: pay
state: {paid: {type: array, items: {type: any}, reducer: append}}
nodes:
  - {id: start, kind: start}
  - {id: rounds, kind: loop, while: "true", max: 2}
  - {id: pay, kind: tool, tool: pay, arguments: {amount: "{{ loops.rounds }}"}, output: paid}
  - {id: end, kind: end, output: "{{ size(state.paid) }}"}
edges:
  - {from: start, to: rounds}
  - {from: rounds, to: pay, case: body}
  - {from: pay, to: rounds}
  - {from: rounds, to: end, case: done}
"""


async def test_makes_a_call_of_each_round(worker, workspace, alice, endpoint, http_tool, endpoint_of_tool):
    await in_thread(http_tool, "pay")
    run = await finished(await start(alice, await publish(workspace, PAY)))

    assert (run.error, run.output) == (None, 2)
    assert [json.loads(one.body)["amount"] for one in endpoint_of_tool.asked] == [1, 2]


async def test_repeats_no_call_when_the_state_after_it_was_lost(
    worker, workspace, alice, endpoint, http_tool, endpoint_of_tool, stopped_before
):
    await in_thread(http_tool, "pay")
    stopped_before(2)
    run = await finished(await start(alice, await publish(workspace, PAY)))

    assert (run.output, len(endpoint_of_tool.asked)) == (2, 2)
    calls = ToolCall.objects.filter(run=run).order_by("step_num").values_list("step_num", flat=True)
    assert [number async for number in calls] == [2, 4]


async def test_asks_for_the_approval_that_a_tool_requires(
    worker, workspace, alice, endpoint, http_tool, endpoint_of_tool, decide
):
    await in_thread(lambda: http_tool("pay", requires_approval=True))
    run = await at_rest(await start(alice, await publish(workspace, PAY)))
    await decide(run, "edit", "pay", arguments={"amount": 9})
    await until(run, lambda now: now.status == Status.WAITING and now.attempt == 2)
    await decide(run, "approve", "pay")
    ended = await finished(run)

    assert (ended.error, [json.loads(one.body)["amount"] for one in endpoint_of_tool.asked]) == (None, [9, 2])


async def test_tells_of_each_call_which_node_has_made_it(worker, workspace, alice, endpoint, http_tool):
    await in_thread(http_tool, "pay")
    run = await finished(await start(alice, await publish(workspace, PAY)))
    events = [event for event in await events_of(run.id) if "tool_call" in event.type]

    assert {(event.node, data(event)["tool"]) for event in events} == {("pay", "pay")}
    assert types(events) == ["tool_call_started", "tool_call_completed"] * 2


# --- compiled once ---


async def test_compiles_a_version_once_for_its_runs(worker, workspace, alice, monkeypatch):
    compiled = []

    def counting(specification, *given, **named):
        compiled.append(specification.version_id)
        return compile_workflow(specification, *given, **named)

    monkeypatch.setattr("runs.engine.graphs.compile_workflow", counting)
    workflow = await publish(workspace, ROUNDS)
    for number in (1, 2):
        await finished(await start(alice, workflow, {"n": number}))

    assert compiled == [workflow.published_id]
