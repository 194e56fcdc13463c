"""How long the events of runs that have ended are kept: `RUN_EVENTS_KEPT_DAYS`.

The run, its steps and its messages stay. Of its events the last one stays, which says how it ended; right before it, in
the place of all others, stands one that says that they were removed. So whoever follows the run later is told.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from runs.events import TERMINAL_EVENTS, EventType
from runs.models import TERMINAL, Run

BATCH = 100
"""Runs in one transaction."""


def remove_some() -> bool:
    """Removes the events of one batch of runs that ended long enough ago; whether there may be more."""
    if not settings.RUN_EVENTS_KEPT_DAYS:
        return False
    now = timezone.now()
    ended = Run.objects.filter(
        finished_at__lt=now - timedelta(days=settings.RUN_EVENTS_KEPT_DAYS),
        events_removed_at=None,
        status__in=TERMINAL,
    )
    with transaction.atomic(), connection.cursor() as cursor:
        locked = ended.select_for_update(skip_locked=True, no_key=True).order_by("finished_at")
        keys = list(locked.values_list("pk", flat=True)[:BATCH])
        cursor.execute(
            _REMOVE,
            {"runs": keys, "ends": list(TERMINAL_EVENTS), "now": now, "type": EventType.EVENTS_REMOVED},
        )
        cursor.execute(_REMOVE_PAYLOADS, {"runs": keys})
        Run.objects.filter(pk__in=keys).update(events_removed_at=now)
    return len(keys) == BATCH


_REMOVE = """
WITH last AS (
    SELECT DISTINCT ON (run_id) run_id, seq, attempt FROM runs_runevent
    WHERE run_id = ANY(%(runs)s) AND type = ANY(%(ends)s) ORDER BY run_id, seq DESC
), gone AS (
    -- All but the one whose place is taken.
    DELETE FROM runs_runevent event USING last WHERE event.run_id = last.run_id AND event.seq < last.seq - 1
)
INSERT INTO runs_runevent (run_id, seq, attempt, step, node, type, timestamp, data)
SELECT run_id, seq - 1, attempt, 0, '', %(type)s, %(now)s, jsonb_build_object('run_id', run_id, 'up_to_seq', seq - 1)
FROM last WHERE seq > 1
ON CONFLICT (run_id, seq) DO UPDATE SET
    step = 0, node = '', type = EXCLUDED.type, timestamp = EXCLUDED.timestamp, data = EXCLUDED.data
"""
# What the event that stays refers to stays with it.
_REMOVE_PAYLOADS = """
DELETE FROM runs_runpayload payload WHERE run_id = ANY(%(runs)s) AND NOT EXISTS (
    SELECT FROM runs_runevent event
    WHERE event.run_id = payload.run_id AND event.data ->> 'payload_id' = payload.id::text
)
"""
