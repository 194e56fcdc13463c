"""Puts what was noted into the table: one statement for all of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connection

from accounts.security import noting
from accounts.security.kinds import Kind
from accounts.security.noting import Absent, Noted, Source
from agentplatform.lib.ids import uuid7

MINUTE = timedelta(minutes=1)
# A message tells of a whole minute: it is sent when that, and a little for clocks that differ, is over.
TOLD_AFTER = timedelta(seconds=65)

_UPSERT = """
INSERT INTO accounts_securityevent AS kept (id, minute, kind, address, subject, count, first_at, last_at, request_id,
    objects_named, attempts, next_attempt_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0, %s)
ON CONFLICT (minute, kind, address, subject) DO UPDATE
SET count = kept.count + EXCLUDED.count, last_at = greatest(kept.last_at, EXCLUDED.last_at)
"""

log = structlog.get_logger("agentplatform.security")


def write_noted() -> None:
    """Writes all that this process has noted; what the database does not take is kept for the next time."""
    try:
        for absent in noting.take_absent():
            _judge(absent)
        taken = noting.take()
        try:
            _write(taken)
        except DatabaseError:
            noting.put_back(taken)
            raise
    except DatabaseError as error:
        log.warning("security_events_not_written", error=str(error))
    finally:
        if not connection.in_atomic_block:
            connection.close()


def _judge(absent: Absent) -> None:
    """Notes what is another workspace's; what is nowhere is a mistake and no event."""
    if absent.model._base_manager.filter(pk=absent.key).exists():
        thing = f"{getattr(absent.model, 'resource', absent.model.__name__)} {absent.key}"
        noting.note(Kind.FOREIGN_OBJECT, absent.address, absent.subject, thing, absent.request_id)


def _write(taken: dict[Source, Noted]) -> None:
    if not taken:
        return
    with connection.cursor() as cursor:
        cursor.executemany(_UPSERT, [_row(source, noted) for source, noted in sorted(taken.items())])


def _row(source: Source, noted: Noted) -> tuple[Any, ...]:
    told_at = source.minute + TOLD_AFTER if settings.SECURITY_WEBHOOK_URL else None
    return (
        uuid7(),
        *source,
        noted.count,
        noted.first_at,
        noted.last_at,
        noted.request_id[:128],
        noted.objects,
        told_at,
    )
