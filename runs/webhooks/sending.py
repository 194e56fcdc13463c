"""Sending a message: one attempt at a time, and what follows from its answer."""

from __future__ import annotations

import asyncio
import functools
import random
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx2
import orjson
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from agentplatform.lib import outbound
from agentplatform.lib import webhook_signing as signing
from agentplatform.lib.addresses import OutboundRefused, check_url
from agentplatform.lib.concurrency import in_thread
from runs.models import Webhook, WebhookDelivery
from runs.webhooks import outbox

logger = structlog.get_logger(__name__)

# How long a message waits after each attempt that has failed. After the last there is no other.
DELAYS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=24),
)
# A webhook that nothing has got through to for so long is disabled with the first message that is given up.
PATIENCE = timedelta(days=1)
TIMEOUT_SECONDS = 10.0
# Attempts at one webhook at once, in one process: a slow one must not take all of a worker's places.
MOST_AT_ONCE = 5
BUSY = timedelta(seconds=5)
# Bytes of an answer that are read and kept.
KEPT_OF_ANSWER = 1000
GONE = 410

_under_way: Counter[uuid.UUID] = Counter()


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt went. `status` is None where nobody answered; `error` is empty where it was delivered."""

    status: int | None = None
    text: str = ""
    error: str = ""
    latency_ms: int = 0


async def send(delivery_id: uuid.UUID, webhook_id: uuid.UUID, attempts: int) -> None:
    """Makes the attempt after `attempts` others, unless it was made already."""
    if _under_way[webhook_id] >= MOST_AT_ONCE:
        await in_thread(_postpone, delivery_id, attempts)
        return
    _under_way[webhook_id] += 1
    try:
        if delivery := await in_thread(_claim, delivery_id, attempts):
            await in_thread(record, delivery, await _attempt(delivery))
    finally:
        _under_way[webhook_id] -= 1


def record(delivery: WebhookDelivery, answer: Answer) -> None:
    """Stores how an attempt went, and decides what follows."""
    now = timezone.now()
    delivery.response_status, delivery.response = answer.status, answer.text
    delivery.error, delivery.latency_ms = answer.error, answer.latency_ms
    with transaction.atomic():
        webhook = Webhook.objects.select_for_update(no_key=True).filter(pk=delivery.webhook_id).first()
        if webhook is None:
            return  # It was deleted meanwhile, and its messages with it.
        if answer.error:
            _fail(webhook, delivery, answer, now)
        else:
            webhook.failing_since = None
            _end(delivery, WebhookDelivery.Status.DELIVERED, now)
        webhook.save(update_fields=["failing_since", "enabled", "disabled_reason"])
        _store(delivery)


def _claim(delivery_id: uuid.UUID, attempts: int) -> WebhookDelivery | None:
    """The message, counted as attempted; None where there is nothing to do (any more)."""
    pending = _pending(delivery_id, attempts).filter(webhook__enabled=True)
    if not pending.update(attempts=F("attempts") + 1, next_attempt_at=timezone.now() + outbox.LEASE):
        return None
    return WebhookDelivery.objects.select_related("webhook").filter(pk=delivery_id).first()


def _postpone(delivery_id: uuid.UUID, attempts: int) -> None:
    _pending(delivery_id, attempts).update(next_attempt_at=timezone.now() + BUSY)


def _pending(delivery_id: uuid.UUID, attempts: int) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(
        pk=delivery_id, attempts=attempts, status=WebhookDelivery.Status.PENDING
    )


def _fail(webhook: Webhook, delivery: WebhookDelivery, answer: Answer, now: datetime) -> None:
    webhook.failing_since = webhook.failing_since or now
    is_given_up = delivery.retries >= len(DELAYS)
    if answer.status == GONE:
        _disable(webhook, "Its endpoint answered HTTP 410: it is gone.")
    elif is_given_up and now - webhook.failing_since >= PATIENCE:
        since = f"{webhook.failing_since:%Y-%m-%d %H:%M} UTC"
        _disable(webhook, f"Nothing has got through since {since}. At last: {answer.error}")
    if is_given_up or answer.status == GONE:
        _end(delivery, WebhookDelivery.Status.FAILED, now)
    else:
        delivery.next_attempt_at = now + DELAYS[delivery.retries] * random.uniform(0.8, 1.2)  # noqa: S311
        delivery.retries += 1


def _disable(webhook: Webhook, reason: str) -> None:
    webhook.enabled, webhook.disabled_reason = False, reason
    logger.warning("webhook_disabled", webhook_id=str(webhook.pk), reason=reason)


def _end(delivery: WebhookDelivery, status: WebhookDelivery.Status, now: datetime) -> None:
    delivery.status, delivery.finished_at, delivery.next_attempt_at = status, now, None


def _store(delivery: WebhookDelivery) -> None:
    """Unless another attempt was made meanwhile, which then has the last word."""
    names = (
        *("status", "retries", "response_status", "response", "error", "latency_ms"),
        *("next_attempt_at", "finished_at"),
    )
    values = {name: getattr(delivery, name) for name in names}
    _pending(delivery.pk, delivery.attempts).update(**values)


async def _attempt(delivery: WebhookDelivery) -> Answer:
    """Posts the message. Every failure is an answer."""
    started = time.monotonic()
    status, text, error = await _post(delivery)
    return Answer(status, text, error, round((time.monotonic() - started) * 1000))


async def _post(delivery: WebhookDelivery) -> tuple[int | None, str, str]:
    now, webhook = timezone.now(), delivery.webhook
    body = orjson.dumps(delivery.payload)
    headers = signing.headers(delivery.pk, now, body, valid_secrets(webhook, now))
    try:
        check_url(webhook.url)
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            _client().stream("POST", webhook.url, content=body, headers=headers) as response,
        ):
            return response.status_code, await _beginning(response), _fault(response)
    except OutboundRefused as refusal:
        return None, "", str(refusal)
    except (TimeoutError, httpx2.TimeoutException):
        return None, "", f"The endpoint did not answer within {TIMEOUT_SECONDS:g} seconds."
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return None, "", "The endpoint cannot be reached, or broke off its answer."


def valid_secrets(webhook: Webhook, now: datetime) -> list[str]:
    """The secret and, for a while after it was changed, the one before it."""
    if webhook.previous_secret and webhook.previous_until and now < webhook.previous_until:
        return [webhook.secret, webhook.previous_secret]
    return [webhook.secret]


def _fault(response: httpx2.Response) -> str:
    """Why the message is not delivered; empty where it is."""
    if response.is_success:
        return ""
    hint = " Redirects are not followed." if response.is_redirect else ""
    return f"The endpoint answered HTTP {response.status_code}.{hint}"


async def _beginning(response: httpx2.Response) -> str:
    """The first bytes of an answer, as they came; the rest is not read."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= KEPT_OF_ANSWER:
            break
    return bytes(body[:KEPT_OF_ANSWER]).decode(errors="replace").replace("\0", "\ufffd")


@functools.cache
def _client() -> httpx2.AsyncClient:
    headers = {
        "User-Agent": f"{settings.APP_NAME}/{settings.VERSION}",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
    }
    return outbound.async_client(TIMEOUT_SECONDS, headers=headers)
