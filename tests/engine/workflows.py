"""Workflows for engine tests: written as people write them, published, and run."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from typing import Any

from accounts.authentication import actor_from_session
from accounts.models import User
from agentplatform.lib.concurrency import in_thread
from agents.models import Workflow
from agents.workflows import drafts, publishing
from billing.models import UsageRecord
from runs import commands, lifecycle, live
from runs.models import Run, RunStep
from tests.model_endpoint import ModelEndpoint
from tests.model_endpoint.replies import last_user_text


def publish_now(workspace: Any, text: str) -> Workflow:
    """The published workflow that a text describes."""
    draft = drafts.read(workspace.pk, text)
    draft.require_valid()
    workflow = Workflow.objects.filter(workspace=workspace, name=draft.data["name"]).first()
    saved = drafts.save(workflow or Workflow(workspace=workspace), None, draft.values)
    return publishing.publish(saved)


async def publish(workspace: Any, text: str) -> Workflow:
    return await in_thread(publish_now, workspace, text)


async def start(user: User, workflow: Workflow, values: dict[str, Any] | None = None, **wishes: Any) -> Run:
    """A queued run of the workflow, started by `user`."""
    request = commands.RunRequest(
        workflow=workflow.name, values={"message": "hello"} if values is None else values, **wishes
    )
    actor = await in_thread(actor_from_session, user, workflow.workspace_id)
    return (await in_thread(commands.start_run, actor, request)).run


async def steps_of(run_id: uuid.UUID) -> list[tuple[int, str, str]]:
    """Number, node and type of each step."""
    rows = RunStep.objects.filter(run_id=run_id).order_by("step_num", "node")
    return [row async for row in rows.values_list("step_num", "node", "type")]


def asked(endpoint: ModelEndpoint) -> Counter[str]:
    """How often the model was asked what."""
    return Counter(last_user_text(request.body) for request in endpoint.requests)


async def is_balanced(run: Run) -> bool:
    """Whether each call that was opened in the ledger is settled, once."""
    entries = UsageRecord.objects.filter(run_id=run.id)
    opened = Counter(
        [call async for call in entries.filter(entry="opened").values_list("call_id", flat=True)]
    )
    settled = Counter(
        [call async for call in entries.filter(entry="settled").values_list("call_id", flat=True)]
    )
    return opened == settled


async def pause(run: Run) -> None:
    _, events = await in_thread(lifecycle.pause, run.id)
    live.announce(events)


async def resume(run: Run, limits: dict[str, Any] | None = None) -> None:
    _, events = await in_thread(lifecycle.resume, run.id, limits)
    live.announce(events)


async def until_told(run: Run, kind: str, node: str) -> None:
    """Until the run has told this of the node."""
    async with asyncio.timeout(20):
        while not await run.events.filter(type=kind, node=node).aexists():
            await asyncio.sleep(0.01)


# --- documents ---

LINE = """
name: line
nodes:
  - {id: start, kind: start}
  - {id: one, kind: llm, model: slow, prompt: "one"}
  - {id: two, kind: llm, model: slow, prompt: "two"}
  - {id: end, kind: end, output: done}
edges: [{from: start, to: one}, {from: one, to: two}, {from: two, to: end}]
"""

FAN = """
name: fan
state: {said: {type: array, items: {type: string}, reducer: append}}
nodes:
  - {id: start, kind: start}
  - {id: fan, kind: parallel, join: merge}
  - {id: quick, kind: llm, model: gpt, prompt: "quick", output: said}
  - {id: slow, kind: llm, model: slow, prompt: "slow", output: said}
  - {id: merge, kind: join}
  - {id: last, kind: llm, model: gpt, prompt: "last", output: said}
  - {id: end, kind: end, output: "{{ size(state.said) }}"}
edges:
  - {from: start, to: fan}
  - {from: fan, to: quick}
  - {from: fan, to: slow}
  - {from: quick, to: merge}
  - {from: slow, to: merge}
  - {from: merge, to: last}
  - {from: last, to: end}
"""
ONCE = {"quick": 1, "slow": 1, "last": 1}
STEPS_OF_FAN = [
    (1, "fan", "parallel"),
    (2, "quick", "model"),
    (2, "slow", "model"),
    (3, "merge", "join"),
    (4, "last", "model"),
    (5, "end", "end"),
]

OUTER = """
name: outer
state: {found: {type: any}}
nodes:
  - {id: start, kind: start}
  - {id: call, kind: workflow, workflow: fan, input: {message: "{{ input.message }}"}, output: found}
  - {id: end, kind: end, output: "{{ state.found }}"}
edges: [{from: start, to: call}, {from: call, to: end}]
"""

ROUNDS = """
name: rounds
input: {properties: {n: {type: integer}}, required: [n]}
state:
  sum: {type: integer, reducer: add}
  seen: {type: array, items: {type: integer}, reducer: append}
  factor: {type: integer, default: 1}
nodes:
  - {id: start, kind: start}
  - {id: rounds, kind: loop, while: "true", max: 4}
  - {id: add, kind: transform, set: {sum: "input.n * state.factor", seen: "loops.rounds"}}
  - {id: end, kind: end, output: {sum: "{{ state.sum }}", seen: "{{ state.seen }}"}}
edges:
  - {from: start, to: rounds}
  - {from: rounds, to: add, case: body}
  - {from: add, to: rounds}
  - {from: rounds, to: end, case: done}
"""
