"""An agent as a tool, an agent or a workflow as a node: a run of its own, executed beside the one that asks for it.

The call's claim names the child, so whoever begins the step again finds the same one. The parent's worker executes
it without a place in the queue: a parent that holds the last place never waits for one. Where the child rests, for
a person or because it was paused, the parent waits too, in nobody's hands; `lifecycle.tend` wakes it.
"""

from __future__ import annotations

import asyncio
import contextvars
import uuid
from dataclasses import dataclass
from typing import Any

from langgraph.types import interrupt

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import PlatformError
from agents.tools.base import ToolFault, ToolResult
from agents.tools.schemas import MESSAGE_SCHEMA, check_arguments
from runs import child_runs, lifecycle
from runs.engine.recorder import Recorder
from runs.events import EventType
from runs.follow import Follower
from runs.models import AT_REST, TERMINAL, Run, Status, ToolCall

LOOK_AGAIN_SECONDS = 0.5
AGENT = "agent"
WORKFLOW = "workflow"
NULL = "null"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who answers a call by a run of its own: an agent, or a workflow with the call's arguments as its input."""

    kind: str
    identifier: str
    """The agent's id or name, the workflow's name."""


async def ask(recorder: Recorder, asked: Asked, call: dict[str, Any], claim: ToolCall) -> ToolResult:
    """What the run has come to. Raises ToolFault where it comes to nothing.

    Interrupts the parent's step where the child, or the parent itself, rests, or the worker is to stop.
    """
    assert claim.child_run_id
    if asked.kind == AGENT:
        check_arguments(MESSAGE_SCHEMA, call["args"])
    if not await _start(recorder, asked, call["args"], claim.child_run_id):
        interrupt({"child": str(claim.child_run_id)})
    child = await _tend(recorder, call, claim.child_run_id)
    await in_thread(lifecycle.roll_up, recorder.run.id)
    if child.status == Status.COMPLETED:
        return ToolResult(child.response_content, _content(child))
    if child.status == Status.CANCELLED:
        raise ToolFault(f"The run of the {asked.kind} {child.executes!r} was cancelled.")
    assert child.error
    raise ToolFault(
        f"The {asked.kind} {child.executes!r} has failed ({child.error['class']}): {child.error['message']}"
    )


def _content(child: Run) -> Any:
    """A workflow's output, whatever its type; None of an agent, whose answer is text.

    Text has no column of its own, and neither has null: `ends` writes it as JSON has it.
    """
    if not child.is_workflow or child.output is not None:
        return child.output
    return None if child.response_content == NULL else child.response_content


async def _start(recorder: Recorder, asked: Asked, arguments: dict[str, Any], child_id: uuid.UUID) -> bool:
    """Whether there is a run to follow: the one of an earlier attempt, or a new one."""
    start = child_runs.start_agent if asked.kind == AGENT else child_runs.start_workflow
    try:
        return await in_thread(start, recorder.run, recorder.attempt, asked.identifier, arguments, child_id)
    except PlatformError as error:
        raise ToolFault(f"The {asked.kind} can't be asked: {error.message}") from error


async def _tend(recorder: Recorder, call: dict[str, Any], child_id: uuid.UUID) -> Run:
    """The child after its end."""
    seq = 0
    while True:
        child = await in_thread(child_runs.head, child_id)
        if child.status in TERMINAL:
            return child
        if child.status in AT_REST:
            _tell(recorder, call, child)
            interrupt({"child": str(child_id)})
        if recorder.is_draining():
            # The calls beside this one may end; then the parent is handed back, because its child does not rest.
            interrupt({"child": str(child_id)})
        if child.status == Status.QUEUED:
            _tell(recorder, call, child)
            seq = await _execute(recorder, child_id, max(seq, child.last_seq))
        else:
            seq = await _follow(child_id, max(seq, child.last_seq))


def _tell(recorder: Recorder, call: dict[str, Any], child: Run) -> None:
    head = {"tool": call["name"], "call_id": call["id"]}
    recorder.emit(
        EventType.TOOL_CALL_PROGRESS, {**head, "child_run_id": str(child.id), "status": child.status}
    )


async def _execute(recorder: Recorder, child_id: uuid.UUID, after: int) -> int:
    """One attempt of the child on this worker, broken off when it is cancelled; the last `seq` that was seen.

    In a context of its own: LangGraph would take the child's graph for a part of the parent's.
    """
    attempt = asyncio.create_task(recorder.execute_child(child_id), context=contextvars.Context())
    follower = Follower(child_id, after)
    cancelled = asyncio.create_task(_until_cancelled(follower))
    try:
        await asyncio.wait({attempt, cancelled}, return_when=asyncio.FIRST_COMPLETED)
        if not _is_cancelled(cancelled):
            await attempt
    finally:
        follower.close()
        attempt.cancel()
        cancelled.cancel()
        await asyncio.gather(attempt, cancelled, return_exceptions=True)
    return follower.seq


def _is_cancelled(told: asyncio.Task[bool]) -> bool:
    """What cannot be followed for a while is not cancelled."""
    return told.done() and told.exception() is None and told.result()


async def _until_cancelled(follower: Follower) -> bool:
    """True as soon as the run is cancelled; False at any other end, and where this process stops following."""
    async for batch in follower.batches():
        if batch and batch[-1].type == EventType.RUN_CANCELLED:
            return True
    return False


async def _follow(child_id: uuid.UUID, after: int) -> int:
    """Waits for the next news of a child that another worker has in hand; the last `seq` that was seen."""
    follower = Follower(child_id, after)
    try:
        async for _ in follower.batches():
            return follower.seq
        # Nothing is told here any more, because this process is about to stop.
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    finally:
        follower.close()
    return follower.seq
