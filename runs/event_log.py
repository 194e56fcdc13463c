"""The event table: numbering, inserting and reading events. It is the truth that live delivery only shortcuts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Protocol

import orjson
from django.db.models import TextField
from django.db.models.functions import Cast

from agentplatform.lib import bulk
from agentplatform.lib.text import storable
from runs.events import TEXT_EVENTS, Event, EventType, StoredEvent
from runs.models import RunEvent, RunPayload, RunStep

PAGE = 500
# Bytes above which an event's data is stored apart, and how much of it the event still shows.
LARGE = 64 * 1024
PREVIEW = 1000
MOST_PIECES = 10_000
_COLUMNS = ("run_id", "seq", "attempt", "step", "node", "type", "timestamp", Cast("data", TextField()))


class Numbered(Protocol):
    """What gives events their numbers: a locked run."""

    id: uuid.UUID
    attempt: int
    last_seq: int


def number(run: Numbered, events: Sequence[Event]) -> list[StoredEvent]:
    """Gives the events the run's next numbers and counts the run's `last_seq` on.

    Data over 64 KB is stored once, as a RunPayload, and the event refers to it.
    """
    first = run.last_seq + 1
    run.last_seq += len(events)
    return [
        StoredEvent(
            run.id,
            first + index,
            run.attempt,
            event.step,
            event.node,
            event.type,
            event.timestamp,
            _text(run, event),
        )
        for index, event in enumerate(events)
    ]


def _text(run: Numbered, event: Event) -> str:
    text = encode(event.data)
    if len(text) <= LARGE:
        return text
    payload = RunPayload.objects.create(run_id=run.id, data=orjson.loads(text))
    return encode({"payload_id": payload.id, "size": len(text), "preview": text[:PREVIEW]})


def encode(data: dict[str, Any]) -> str:
    """JSON text that PostgreSQL takes: NUL characters and lone surrogates become replacement characters."""
    try:
        text = orjson.dumps(data, default=str).decode()
    except TypeError:
        text = orjson.dumps(storable(data), default=str).decode()
    return orjson.dumps(storable(data), default=str).decode() if "\\u0000" in text else text


def insertion(events: Sequence[StoredEvent]) -> list[bulk.Statement]:
    """The statement that stores the events; none where there are none."""
    rows = [
        {
            "run_id": event.run_id,
            "seq": event.seq,
            "attempt": event.attempt,
            "step": event.step,
            "node": event.node,
            "type": str(event.type),
            "timestamp": event.timestamp,
            "data": orjson.Fragment(event.data),
        }
        for event in events
    ]
    return [bulk.insert(RunEvent, rows)] if rows else []


def read(run_id: uuid.UUID, after: int, limit: int = PAGE) -> list[StoredEvent]:
    """The run's events with a higher `seq` than `after`, in order, at most `limit`."""
    rows = (
        RunEvent.objects.filter(run_id=run_id, seq__gt=after).order_by("seq").values_list(*_COLUMNS)[:limit]
    )
    return [StoredEvent(*row) for row in rows]


def of_last_model_step(run_id: uuid.UUID) -> list[StoredEvent]:
    """What `rebuild_text` needs of an agent's last model step; at most MOST_PIECES of it."""
    told = RunEvent.objects.filter(run_id=run_id)
    begun = told.filter(type=EventType.STEP_STARTED, data__type=RunStep.StepType.MODEL)
    since = begun.order_by("-seq").values_list("seq", flat=True).first()
    if since is None:
        return []
    rows = told.filter(seq__gt=since, type__in=TEXT_EVENTS).order_by("seq")
    return [StoredEvent(*row) for row in rows.values_list(*_COLUMNS)[:MOST_PIECES]]


def seq_of_checkpoint(run_id: uuid.UUID, checkpoint_id: uuid.UUID) -> int:
    """Up to which `seq` the run's events tell how it came to a checkpoint; 0 where none tells of it."""
    told = RunEvent.objects.filter(run_id=run_id, type=EventType.CHECKPOINT_CREATED)
    event = told.filter(data__checkpoint_id=str(checkpoint_id)).first()
    return valid_until(event) if event else 0


def valid_until(checkpoint_event: RunEvent) -> int:
    """A run that was set back stands at an earlier place than the event that says so."""
    return int(checkpoint_event.data.get("supersedes_after_seq", checkpoint_event.seq))


def last_checkpoint(run_id: uuid.UUID) -> RunEvent | None:
    """The run's last `checkpoint_created` event: what a new attempt goes on from."""
    return RunEvent.objects.filter(run_id=run_id, type=EventType.CHECKPOINT_CREATED).order_by("-seq").first()
