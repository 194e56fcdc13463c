"""What the platform uses beside its database: Redis, the storage of files, the mail server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.mail import get_connection

from agentplatform.doctor.examination import Check, Finding, ok, problem, warning
from agentplatform.lib.ids import uuid7

SLOW_MILLISECONDS = 20
FULL = 0.9
SECONDS = 5
PROBE_BYTES = 4096


def look_at_redis() -> Iterator[Finding]:
    if not settings.REDIS_URL:
        if settings.EMBEDDED_WORKER:
            yield ok("There is none, and one process needs none.")
        else:
            yield warning(
                "REDIS_URL is not set: processes hear of each other's events late, and rate limits hold per process.",
                "Start a Redis and set REDIS_URL, unless there is only one process.",
            )
        return
    from redis import Redis  # twenty megabytes, only where there is one

    with Redis.from_url(settings.REDIS_URL, socket_timeout=SECONDS, socket_connect_timeout=SECONDS) as client:
        client.ping()  # connects
        started = time.perf_counter()
        client.ping()
        milliseconds = (time.perf_counter() - started) * 1000
        memory: dict[str, Any] = client.info("memory")
    yield from judge_memory(memory)
    if milliseconds > SLOW_MILLISECONDS:
        yield warning(
            f"Redis takes {milliseconds:.0f} ms to answer.", "Move it closer, or see what keeps it busy."
        )
    yield ok(f"Redis answers in {milliseconds:.1f} ms.")


def judge_memory(memory: dict[str, Any]) -> Iterator[Finding]:
    """What Redis says of its memory."""
    limit = int(memory.get("maxmemory", 0))
    if limit and memory.get("maxmemory_policy") == "noeviction":
        yield problem(
            "Redis refuses writes when its memory is full (maxmemory-policy noeviction).",
            "Set maxmemory-policy to allkeys-lru: nothing in it must survive.",
        )
    if limit and int(memory["used_memory"]) > limit * FULL:
        yield warning("Redis has nearly used up its memory.", "Raise maxmemory.")


def look_at_storage() -> Iterator[Finding]:
    content = os.urandom(PROBE_BYTES)
    name = default_storage.save(f"doctor/{uuid7()}", ContentFile(content))
    try:
        with default_storage.open(name) as file:
            is_same = file.read() == content
    finally:
        default_storage.delete(name)
    if not is_same:
        yield problem(
            "The storage does not give back what it was given.", "See what is wrong at STORAGE_URL."
        )
    elif default_storage.exists(name):
        yield problem("The storage does not delete.", "Give the platform the right to delete at STORAGE_URL.")
    else:
        yield ok("The storage writes, reads and deletes.")


def look_at_mail() -> Iterator[Finding]:
    if not settings.EMAIL_HOST:
        yield warning(
            "EMAIL_HOST is not set: no mail is sent, of budgets neither.", "Set EMAIL_HOST, or live without."
        )
        return
    # It signs in and leaves; nothing is sent.
    connection = get_connection("django.core.mail.backends.smtp.EmailBackend", timeout=SECONDS)
    connection.open()
    connection.close()
    yield ok(f"{settings.EMAIL_HOST} takes mail.")


CHECKS = (
    Check("redis", look_at_redis, remedy="Check REDIS_URL, and that Redis runs. Runs go on without it."),
    Check("storage", look_at_storage, remedy="Check STORAGE_URL, and that this user may write there."),
    Check("mail", look_at_mail, remedy="Check EMAIL_HOST, EMAIL_PORT, EMAIL_USE_TLS and the credentials."),
)
