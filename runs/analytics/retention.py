"""How long figures are kept: quarters of an hour for `METRICS_QUARTERS_KEPT_DAYS`, days for `METRICS_KEPT_DAYS`.

A person's own figures go with the person. Those of all users together stay, and with them what the person's runs count
for: there is no content in them.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from agentplatform.lib.housekeeping import BATCH
from runs.analytics.reading import quarters_since
from runs.models import DAY, QUARTER, Figures, Measurement


def remove_some() -> bool:
    """Removes one batch of what is too old; whether there may be more."""
    since = {QUARTER: quarters_since(), DAY: _days_since()}
    batches = [_remove(minutes, oldest) for minutes, oldest in since.items() if oldest is not None]
    return any(batches)


def forget(workspace_id: uuid.UUID, user_id: uuid.UUID) -> int:
    """Removes a person's own figures; how many rows."""
    own = {"workspace_id": workspace_id, "user_id": user_id}
    Measurement.objects.filter(**own).update(user_id=None)
    return Figures.objects.filter(**own).delete()[0]


def _remove(minutes: int, oldest: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_REMOVE, [minutes, oldest, BATCH])
        return bool(cursor.rowcount == BATCH)


_REMOVE = """
DELETE FROM runs_figures WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM runs_figures WHERE minutes = %s AND slot < %s LIMIT %s FOR UPDATE SKIP LOCKED
))
"""


def _days_since() -> datetime | None:
    kept = settings.METRICS_KEPT_DAYS
    return timezone.now() - timedelta(days=kept + 1) if kept else None
