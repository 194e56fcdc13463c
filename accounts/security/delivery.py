"""Security events as signed messages to SECURITY_WEBHOOK_URL (Standard Webhooks), by the queue, with retries."""

from __future__ import annotations

import functools
import random
import uuid
from datetime import timedelta
from typing import Any

import httpx2
import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.security.models import SecurityEvent
from agentplatform.lib import outbound, queue, webhook_signing
from agentplatform.lib.addresses import OutboundRefused, authority_of
from agentplatform.lib.concurrency import in_thread

QUEUE = "security"
DELIVER = "deliver_security_event"
# How long an event waits after each attempt that has failed. After the last there is no other.
DELAYS = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 3600, 21_600, 86_400))
# A job that is not heard of again is made again after it.
LEASE = timedelta(minutes=2)
TIMEOUT_SECONDS = 10.0
BATCH = 20


def wake_due() -> bool:
    """Puts a job into the queue for each event that is due; true where there may be more."""
    if not settings.SECURITY_WEBHOOK_URL:
        return False
    now = timezone.now()
    with transaction.atomic():
        due = SecurityEvent.objects.filter(next_attempt_at__lte=now).order_by("next_attempt_at")
        found = list(due.select_for_update(skip_locked=True).values_list("pk", "attempts")[:BATCH])
        SecurityEvent.objects.filter(pk__in=[key for key, _ in found]).update(next_attempt_at=now + LEASE)
        for key, attempts in found:
            queue.defer(DELIVER, queue=QUEUE, event_id=str(key), attempts=attempts)
    return len(found) == BATCH


async def deliver(event_id: uuid.UUID, attempts: int) -> None:
    """Makes the attempt after `attempts` others, unless it was made already."""
    if event := await in_thread(_claim, event_id, attempts):
        await in_thread(_record, event, await _is_taken(event))


def payload_of(event: SecurityEvent) -> dict[str, Any]:
    """The message as it is sent."""
    return {
        "type": f"security.{event.kind}",
        "timestamp": event.last_at,
        "data": {
            "id": event.pk,
            "instance": settings.APP_NAME,
            "environment": settings.ENVIRONMENT,
            "kind": event.kind,
            "address": event.address,
            "subject": event.subject,
            "count": event.count,
            "first_at": event.first_at,
            "last_at": event.last_at,
            "request_id": event.request_id,
            "objects": event.objects_named,
        },
    }


def _claim(event_id: uuid.UUID, attempts: int) -> SecurityEvent | None:
    """The event, counted as attempted; None where there is nothing to do (any more)."""
    pending = SecurityEvent.objects.filter(pk=event_id, attempts=attempts, next_attempt_at__isnull=False)
    if not pending.update(attempts=F("attempts") + 1):
        return None
    return SecurityEvent.objects.filter(pk=event_id).first()


def _record(event: SecurityEvent, is_taken: bool) -> None:
    now = timezone.now()
    if is_taken:
        event.delivered_at, event.next_attempt_at = now, None
    elif event.attempts > len(DELAYS):
        event.next_attempt_at = None
    else:
        event.next_attempt_at = now + DELAYS[event.attempts - 1] * random.uniform(0.8, 1.2)  # noqa: S311
    event.save(update_fields=["delivered_at", "next_attempt_at"])


async def _is_taken(event: SecurityEvent) -> bool:
    body = orjson.dumps(payload_of(event))
    headers = webhook_signing.headers(event.pk, timezone.now(), body, settings.SECURITY_WEBHOOK_SECRETS)
    url = settings.SECURITY_WEBHOOK_URL
    try:
        async with _client(url).stream("POST", url, content=body, headers=headers) as response:
            return response.is_success
    except (httpx2.HTTPError, httpx2.InvalidURL, OutboundRefused, TimeoutError):
        return False


@functools.cache
def _client(url: str) -> httpx2.AsyncClient:
    """The operator's own address may be a private one, as no user has named it."""
    headers = {
        "User-Agent": f"{settings.APP_NAME}/{settings.VERSION}",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
    }
    return outbound.async_client(TIMEOUT_SECONDS, also_allowed=(authority_of(url),), headers=headers)
