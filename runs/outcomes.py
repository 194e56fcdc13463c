"""What a run has come to, for whoever waits for its answer in one request: its end, its rest, or an error."""

from __future__ import annotations

from typing import Any

import orjson

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import (
    BudgetExceeded,
    Conflict,
    InvalidConfig,
    PlatformError,
    ServiceUnavailable,
)
from runs.events import TERMINAL_EVENTS, EventType, StoredEvent
from runs.follow import Follower
from runs.models import ErrorClass, RunPayload

MAY_PASS = {
    ErrorClass.TIMEOUT,
    ErrorClass.PROVIDER_UNAVAILABLE,
    ErrorClass.RATE_LIMITED,
    ErrorClass.WORKER_LOST,
}

RESTS = {EventType.RUN_WAITING, EventType.RUN_PAUSED}
# What takes a run from one state to another.
MOVES = {*RESTS, EventType.RUN_RESUMED, EventType.RUN_QUEUED, *TERMINAL_EVENTS}


async def last_move(follower: Follower, known: list[StoredEvent]) -> StoredEvent:
    """What ends the run, or lets it rest; what it has done last where the server stops before."""
    last = known[-1]
    try:
        async for batch in follower.batches(known):
            last = next((event for event in reversed(batch) if event.type in MOVES), last)
            if last.type in RESTS:
                break
    finally:
        follower.close()
    return last


async def data_of(event: StoredEvent) -> dict[str, Any]:
    """The event's data, read from where it lies if it is large."""
    data: dict[str, Any] = orjson.loads(event.data)
    return await in_thread(_payload, data["payload_id"]) if "payload_id" in data else data


def _payload(payload_id: str) -> dict[str, Any]:
    data: dict[str, Any] = RunPayload.objects.values_list("data", flat=True).get(pk=payload_id)
    return data


def failure(last: StoredEvent, data: dict[str, Any]) -> PlatformError:
    """The HTTP error of a run that gives no answer; its details name the run."""
    details = {"run_id": str(last.run_id)}
    if last.type == EventType.RUN_CANCELLED:
        return Conflict("The run was cancelled.", details=details)
    if last.type != EventType.RUN_FAILED:
        stopping = ServiceUnavailable("The server stops. The run goes on; wait for it at /runs/{id}/wait.")
        stopping.details = details
        return stopping
    error = error_of_class(data["error"]["class"], data["error"]["message"])
    error.details = {**details, "class": data["error"]["class"]}
    return error


def error_of_class(error_class: str, message: str) -> PlatformError:
    """What a failed run's class means to a client: try again, pay, mend the configuration, or none of it."""
    if error_class in MAY_PASS:
        return ServiceUnavailable(message)
    if error_class == ErrorClass.BUDGET_EXCEEDED:
        return BudgetExceeded(message)
    if error_class == ErrorClass.INVALID_CONFIGURATION:
        return InvalidConfig(message)
    return PlatformError(message)
