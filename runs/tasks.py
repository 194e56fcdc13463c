"""The jobs and the chores of this room."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts.security import delivery
from agentplatform.lib import queue
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.housekeeping import chore, remove
from agentplatform.lib.ids import first_uuid7_at
from agentplatform.lib.outboxes import outbox
from agents.knowledge import indexing
from billing import repricing
from billing.exports import requests
from runs import budget_news, lifecycle, live
from runs.analytics import folding
from runs.analytics import retention as figures_retention
from runs.conversations import attachments, naming
from runs.history import events, retention
from runs.models import IdempotencyKey, WebhookDelivery
from runs.queueing import turns
from runs.queueing.turns import EXECUTE, HAND_ON, QUEUE, TEND
from runs.webhooks import outbox as messages
from runs.webhooks import sending

QUEUES = [QUEUE, messages.QUEUE, delivery.QUEUE, indexing.QUEUE, repricing.QUEUE, requests.QUEUE]
# How long a message to a webhook, and what became of it, can be looked at.
DELIVERIES_KEPT = timedelta(days=30)


@queue.task(name=EXECUTE, queue=QUEUE, pass_context=True)
async def execute(context: queue.JobContext, run_id: str) -> None:
    """Wakes this worker's executor for a run."""
    await context.additional_context["executor"].execute(uuid.UUID(run_id))


@queue.task(name=TEND, queue=QUEUE)
async def tend(run_id: str) -> None:
    """Looks after a run among whose children something has happened."""
    live.announce(await in_thread(lifecycle.tend, uuid.UUID(run_id)))


@queue.task(name=HAND_ON, queue=QUEUE)
async def hand_on(session_id: str) -> None:
    """Wakes a session's next run, if it was not to be had when the one before ended."""
    await in_thread(_hand_on, uuid.UUID(session_id))


def _hand_on(session_id: uuid.UUID) -> None:
    with transaction.atomic():
        turns.hand_on(session_id, timezone.now())


@queue.task(name=messages.SEND, queue=messages.QUEUE)
async def send_webhook(delivery_id: str, webhook_id: str, attempts: int) -> None:
    """Makes an attempt to deliver a message to a webhook."""
    await sending.send(uuid.UUID(delivery_id), uuid.UUID(webhook_id), attempts)


@queue.task(name=naming.NAME, queue=QUEUE)
async def name_session(run_id: str) -> None:
    """Asks a conversation's model for its name."""
    await naming.name(uuid.UUID(run_id))


@queue.task(name=attachments.DELETE_FILES, queue=QUEUE)
async def delete_files(names: list[str]) -> None:
    """Deletes files of a session that was deleted."""
    await in_thread(attachments.delete_files, names)


@queue.task(name=budget_news.MAIL, queue=QUEUE)
async def mail_of_budget(budget_id: str, period_start: str, level: int, lease: str) -> None:
    """Sends a mail of a budget's level."""
    start, until = datetime.fromisoformat(period_start), datetime.fromisoformat(lease)
    await in_thread(budget_news.mail, uuid.UUID(budget_id), start, level, until)


@outbox
def tell_of_budgets() -> bool:
    """Levels of budgets that were reached: to webhooks, and by mail."""
    return budget_news.tell()


@outbox
def send_mails_of_budgets() -> bool:
    """Mails that are due: a job for each."""
    return budget_news.send_due()


@outbox
def resume_within_budgets() -> bool:
    """Runs that rest because a budget has no room, once there is."""
    live.announce(budget_news.resume())
    return False


@outbox
def fold_figures() -> bool:
    """What has ended, into the figures."""
    return folding.fold()


@chore
def settle_forgotten_calls_of_runs() -> bool:
    """Those that keep room of a budget and that nobody has settled."""
    return lifecycle.settle_forgotten()


@chore
def remove_unsent_attachments() -> bool:
    return attachments.remove_unsent()


@chore
def remove_old_idempotency_keys() -> bool:
    return remove(IdempotencyKey.objects.filter(created_at__lt=timezone.now() - IdempotencyKey.LIFETIME))


@chore
def prune_checkpoints() -> bool:
    return retention.prune_some()


@chore
def remove_old_events() -> bool:
    return events.remove_some()


@chore
def remove_old_figures() -> bool:
    return figures_retention.remove_some()


@chore
def remove_old_deliveries() -> bool:
    oldest = first_uuid7_at(timezone.now() - DELIVERIES_KEPT)
    return remove(WebhookDelivery.objects.filter(pk__lt=oldest))
