"""The files of exports in the storage: one per attempt, under names that say whose they are."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import structlog
from django.core.files.storage import default_storage
from django.db.models import Q
from django.utils import timezone

from agentplatform.lib.storage import reaching_storage
from billing.models import UsageExport

logger = structlog.get_logger(__name__)

FOLDER = "exports"
# A file is older than this before it can be taken for one that nobody knows of.
ORPHAN_AFTER = timedelta(hours=1)
_NAME = re.compile(r"([0-9a-f-]{36})\.(\d+)\Z")


def name_of(export: UsageExport, attempt: int) -> str:
    return f"{FOLDER}/{export.pk}.{attempt}"


def names_of(export: UsageExport) -> list[str]:
    """Those of all its attempts."""
    return [name_of(export, attempt) for attempt in range(1, export.attempt + 1)]


def remove(export: UsageExport) -> None:
    """Removes the files of all attempts. Raises ServiceUnavailable."""
    with reaching_storage("delete"):
        for name in names_of(export):
            default_storage.delete(name)


def forget(*names: str) -> None:
    """Removes files, or says in the log which it could not: a chore will find them."""
    for name in names:
        try:
            default_storage.delete(name)
        except Exception as error:
            logger.warning("stored_file_not_deleted", file=name, error=str(error))


def remove_orphans() -> None:
    """Removes files whose export is gone or is at another attempt: a worker was killed as it saved one."""
    try:
        names = default_storage.listdir(FOLDER)[1]
    except FileNotFoundError:
        return
    for name in names:
        found = _NAME.match(name)
        if found and not _is_known(uuid.UUID(found[1]), int(found[2])) and _is_old(name):
            forget(f"{FOLDER}/{name}")


def _is_known(export_id: uuid.UUID, attempt: int) -> bool:
    current = Q(status=UsageExport.Status.RUNNING) | Q(status=UsageExport.Status.COMPLETED)
    return UsageExport.objects.filter(current, pk=export_id, attempt=attempt).exists()


def _is_old(name: str) -> bool:
    return default_storage.get_modified_time(f"{FOLDER}/{name}") < timezone.now() - ORPHAN_AFTER
