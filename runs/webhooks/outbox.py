"""The outbox: a message exists exactly when its event does, and has a job as long as it is to be sent.

`next_attempt_at` of a message whose job is in the queue is a lease. When it has passed, the sweep puts another job
there, whether the message was waiting for its next attempt or its job was lost.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from agentplatform.lib import bulk, queue
from agentplatform.lib.ids import uuid7
from billing.budgets import notices
from runs.events import EventType, StoredEvent
from runs.models import Webhook, WebhookDelivery

# What a webhook can be told of, in the order in which a run comes to it.
EVENTS: tuple[str, ...] = (
    EventType.RUN_STARTED,
    EventType.RUN_PAUSED,
    EventType.RUN_RESUMED,
    EventType.RUN_WAITING,
    EventType.APPROVAL_REQUIRED,
    EventType.BUDGET_WARNING,
    EventType.RUN_COMPLETED,
    EventType.RUN_FAILED,
    EventType.RUN_CANCELLED,
    notices.WARNING,
    notices.EXCEEDS,
)
TEST = "webhook_test"
SEND = "runs.send_webhook"
QUEUE = "webhooks"
# Longer than an attempt takes, and than a job usually waits.
LEASE = timedelta(minutes=1)
# Messages for which a sweep makes jobs.
BATCH = 200
# How long a process may not know of a new webhook, or of new events of one.
KEPT_SECONDS = 3.0

Wanted = dict[uuid.UUID, set[str]]
_kept: tuple[float, Wanted] = (0.0, {})

# A webhook that is being deleted waits for the messages that refer to it, or they see it no more.
_RECIPIENTS = """
SELECT hook.id, hook.events, run.id, run.status, run.agent_name, run.workflow_name, run.session_id, run.end_user,
    run.parent_id
FROM runs_webhook hook JOIN runs_run run ON run.workspace_id = hook.workspace_id
WHERE run.id = ANY(%s) AND hook.enabled AND (hook.agent_id IS NULL OR hook.agent_id = run.agent_id)
FOR KEY SHARE OF hook
"""


class Told(Protocol):
    """What is told of: a locked run."""

    id: uuid.UUID
    workspace_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class _Recipient:
    """A webhook beside a run that it may be told of."""

    webhook_id: uuid.UUID
    events: list[str]
    run_id: uuid.UUID
    status: str
    agent: str
    workflow: str
    session_id: uuid.UUID | None
    end_user: str
    parent_id: uuid.UUID | None

    def payload(self, event: StoredEvent) -> dict[str, Any]:
        run = {
            "run_id": self.run_id,
            "status": self.status,
            "agent": self.agent,
            "workflow": self.workflow,
            "session_id": self.session_id,
            "user_id": self.end_user,
            "parent_id": self.parent_id,
        }
        return payload_of(event.type, event.timestamp, {**run, **orjson.loads(event.data)})


def write(runs: Iterable[Told], events: Sequence[StoredEvent], now: datetime) -> None:
    """Writes the messages about these events of these runs, which have just been stored, in the same transaction."""
    if not (wanted := _wanted()):
        return
    workspaces = {run.id: run.workspace_id for run in runs}
    told = [event for event in events if event.type in wanted.get(workspaces[event.run_id], ())]
    if told:
        _add(list(_messages(told, now)))


def payload_of(kind: str, moment: datetime, data: dict[str, Any]) -> dict[str, Any]:
    """The message as it is sent."""
    return {"type": kind, "timestamp": moment, "data": data}


def add(webhook: Webhook, kind: str, data: dict[str, Any]) -> WebhookDelivery:
    """Writes a message that is about no run."""
    now = timezone.now()
    values = _message(webhook.pk, None, kind, payload_of(kind, now, data), now)
    _add([values])
    return WebhookDelivery.objects.get(pk=values["id"])


def write_of_budget(
    workspace_id: uuid.UUID, agent_id: uuid.UUID | None, kind: str, data: dict[str, Any], now: datetime
) -> None:
    """Writes the messages about a budget. A webhook of one agent hears of that agent's budgets."""
    hooks = Webhook.objects.filter(workspace_id=workspace_id, enabled=True, events__contains=[kind])
    told = hooks.filter(Q(agent_id=None) | Q(agent_id=agent_id)).select_for_update(no_key=True)
    payload = payload_of(kind, now, data)
    _add([_message(hook.pk, None, kind, payload, now) for hook in told])


def wake_due() -> None:
    """Puts a job into the queue for each message whose next attempt is due, or whose job was lost."""
    now = timezone.now()
    due = WebhookDelivery.objects.filter(
        status=WebhookDelivery.Status.PENDING, next_attempt_at__lte=now, webhook__enabled=True
    ).order_by("next_attempt_at")
    for delivery_id, webhook_id, attempts in due.values_list("pk", "webhook_id", "attempts")[:BATCH]:
        with transaction.atomic():
            still_due = WebhookDelivery.objects.filter(pk=delivery_id, next_attempt_at__lte=now)
            if still_due.update(next_attempt_at=now + LEASE):
                wake(delivery_id, webhook_id, attempts)


def wake(delivery_id: uuid.UUID, webhook_id: uuid.UUID, attempts: int) -> None:
    """Puts the job of a message's next attempt into the queue; it does nothing once there has been another."""
    queue.defer(
        SEND, queue=QUEUE, delivery_id=str(delivery_id), webhook_id=str(webhook_id), attempts=attempts
    )


def forget() -> None:
    """Makes this process look again which events are wanted."""
    global _kept
    _kept = (0.0, {})


def _wanted() -> Wanted:
    """By workspace, what its webhooks wanted to be told of a moment ago: runs pay nothing where there are none."""
    global _kept
    now = time.monotonic()
    if now >= _kept[0]:
        wanted: Wanted = {}
        for workspace_id, events in Webhook.objects.filter(enabled=True).values_list(
            "workspace_id", "events"
        ):
            wanted.setdefault(workspace_id, set()).update(events)
        _kept = (now + KEPT_SECONDS, wanted)
    return _kept[1]


def _messages(events: Sequence[StoredEvent], now: datetime) -> Iterator[bulk.Values]:
    with connection.cursor() as cursor:
        cursor.execute(_RECIPIENTS, [list({event.run_id for event in events})])
        recipients = [_Recipient(*row) for row in cursor.fetchall()]
    for event in events:
        for found in recipients:
            if found.run_id == event.run_id and event.type in found.events:
                yield _message(found.webhook_id, event.run_id, event.type, found.payload(event), now)


def _message(
    webhook_id: uuid.UUID, run_id: uuid.UUID | None, kind: str, payload: dict[str, Any], now: datetime
) -> bulk.Values:
    times = {"created_at": now, "next_attempt_at": now + LEASE}
    fields = {"webhook_id": webhook_id, "run_id": run_id, "type": str(kind), "payload": payload}
    return bulk.row(WebhookDelivery, **fields, **times, id=uuid7()).values


def _add(messages: list[bulk.Values]) -> None:
    if not messages:
        return
    bulk.execute([bulk.insert(WebhookDelivery, messages)])
    for message in messages:
        wake(message["id"], message["webhook_id"], attempts=0)
