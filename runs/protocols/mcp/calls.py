"""A call of a tool: a run that is started, followed, told of while it goes, and answered with what it has come to."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import orjson
import structlog

from accounts.actor import Actor
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import PlatformError
from agentplatform.lib.ids import uuid7
from runs import live
from runs.approvals import pending_of
from runs.commands import Started, start_run
from runs.events import EventType, StoredEvent
from runs.follow import Follower
from runs.models import ErrorClass, Run, Status
from runs.outcomes import MOVES, RESTS, data_of
from runs.protocols.mcp.cancelling import Origin, cancel_own
from runs.protocols.mcp.tools import run_request

CONTENT_SECONDS = 0.5
"""Between two notifications of the text so far."""
LONGEST_CONTENT = 4_000
"""Characters of the text so far that a notification shows, the last ones."""
STEPS_OF_AGENTS = {"model", "tool"}

Tell = Callable[[int, str], Awaitable[None]]
"""Tells a client how far its call has come: the notification's number, 1, 2, 3 …, and words."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call is answered. `about` names the run, for programs; `structured` is a workflow's output."""

    text: str
    is_error: bool = False
    structured: dict[str, Any] | None = None
    about: dict[str, Any] = field(default_factory=dict)


async def call_tool(
    actor: Actor, tool: str, arguments: Mapping[str, Any], origin: Origin, tell: Tell | None = None
) -> Outcome:
    """Runs what the tool stands for, and answers its outcome. A run that nobody waits for any more is cancelled.

    Raises NotFound where the actor may call no such tool, and PlatformError where the run cannot be started.
    """
    run_id = uuid7()
    follower = Follower(run_id)
    try:
        with anyio.CancelScope(shield=True):
            started = await in_thread(_start, actor, tool, arguments, origin, run_id)
        structlog.contextvars.bind_contextvars(run_id=str(run_id))
        last = await _last_move(follower, started.events, tell)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await in_thread(cancel_own, run_id, "Its MCP client has left.")
        raise
    finally:
        follower.close()
    return await _outcome(started.run, last)


def refusal(error: PlatformError) -> Outcome:
    """Why there is no run, for the model that has asked for one to read."""
    return Outcome(f"{error.error_type}: {error.message}", is_error=True)


def _start(
    actor: Actor, tool: str, arguments: Mapping[str, Any], origin: Origin, run_id: uuid.UUID
) -> Started:
    request = replace(run_request(actor, tool, arguments), metadata=origin.metadata())
    started = start_run(actor, request, run_id=run_id)
    live.announce(started.others)
    return started


async def _last_move(follower: Follower, known: list[StoredEvent], tell: Tell | None) -> StoredEvent:
    """What ends the run, or lets it rest; what it has done last where the server stops before."""
    progress, last = Progress(tell) if tell else None, known[-1]
    async for batch in follower.batches(known):
        if progress:
            await progress.tell_of(batch)
        last = next((event for event in reversed(batch) if event.type in MOVES), last)
        if last.type in RESTS:
            break
    return last


class Progress:
    """Puts a run's events into words: its steps, its calls of tools, and the text so far."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._number = 0
        self._text = ""
        self._told_at = 0.0
        self._untold = False

    async def tell_of(self, events: Sequence[StoredEvent]) -> None:
        """Tells of a batch of events; of the text so far only every now and then. A run's end is its answer."""
        for event in events:
            if event.type == EventType.CONTENT_DELTA:
                self._text += orjson.loads(event.data)["content"]
                self._untold = True
            elif words := self._words(event):
                await self._say(words)
        if self._untold and time.monotonic() - self._told_at >= CONTENT_SECONDS:
            self._untold, self._told_at = False, time.monotonic()
            await self._say(self._text[-LONGEST_CONTENT:])

    async def _say(self, words: str) -> None:
        self._number += 1
        await self._tell(self._number, words)

    def _words(self, event: StoredEvent) -> str:
        if event.type in {EventType.STEP_STARTED, EventType.RETRYING, EventType.ATTEMPT_STARTED}:
            # The text is that of the last step, and void where it is begun again.
            self._text, self._untold = "", False
        say = sayings.get(EventType(event.type))
        return say(event, orjson.loads(event.data)) if say else ""


def _step(event: StoredEvent, data: dict[str, Any]) -> str:
    place = f" ({event.node})" if event.node not in {"", "tools", data.get("type")} else ""
    return f"Step {data['step']}: {data['type']}{place}"


sayings: dict[EventType, Callable[[StoredEvent, dict[str, Any]], str]] = {
    EventType.STEP_STARTED: _step,
    EventType.TOOL_CALL_STARTED: lambda event, data: f"Calls {data['tool']}.",
    EventType.TOOL_CALL_COMPLETED: lambda event, data: f"{data['tool']} has answered.",
    EventType.TOOL_CALL_FAILED: lambda event, data: f"{data['tool']} has failed: {data['error']}",
    EventType.RETRYING: lambda event, data: f"Asks the model again: {data['message']}",
    EventType.ATTEMPT_STARTED: lambda event, data: "Another worker goes on.",
}


async def _outcome(run: Run, last: StoredEvent) -> Outcome:
    data = await data_of(last)
    about: dict[str, Any] = {"run_id": str(run.pk)}
    if last.type == EventType.RUN_COMPLETED:
        about |= {"status": Status.COMPLETED, "metrics": data["metrics"]}
        return Outcome(data["response"], structured=_structured(data.get("output")), about=about)
    if last.type == EventType.RUN_FAILED:
        error = data["error"]
        return _failure(run, Status.FAILED, error["class"], error["message"])
    if last.type == EventType.RUN_CANCELLED:
        return _failure(
            run, Status.CANCELLED, Status.CANCELLED, data["reason"] or "Somebody has cancelled it."
        )
    if last.type == EventType.RUN_WAITING:
        return await in_thread(_waiting, run)
    if last.type == EventType.RUN_PAUSED:
        return Outcome(_paused(run, data), about={**about, "status": Status.PAUSED})
    return Outcome(
        f"The server stops. The run {run.pk} goes on; its answer will be at /api/v1/runs/{run.pk}.",
        is_error=True,
        about=about,
    )


def _structured(output: Any) -> dict[str, Any] | None:
    """What a workflow has come to, as the object that the protocol wants; None where it is text."""
    return output if isinstance(output, dict) or output is None else {"output": output}


def _failure(run: Run, status: Status, error_class: str, message: str) -> Outcome:
    """`status` is how the run has ended; its error's class and message, as the run itself has them."""
    error = {"class": error_class, "message": message}
    return Outcome(
        f"{error_class}: {message} (run {run.pk})",
        is_error=True,
        about={"run_id": str(run.pk), "status": status, "error": error},
    )


def _waiting(run: Run) -> Outcome:
    approvals = [str(key) for key in pending_of(run)]
    return Outcome(
        f"There is no answer yet: the run {run.pk} waits for a person to decide"
        f"{' the approval ' + ', '.join(approvals) if approvals else ''}. Once that is done, it goes on by itself, "
        f"and its answer will be at /api/v1/runs/{run.pk}.",
        about={"run_id": str(run.pk), "status": Status.WAITING, "approval_ids": approvals},
    )


def _paused(run: Run, data: dict[str, Any]) -> str:
    reason = " because a limit of it is used up" if data.get("reason") == ErrorClass.BUDGET_EXCEEDED else ""
    return f"There is no answer yet: the run {run.pk} is paused{reason}. It goes on once somebody resumes it."
