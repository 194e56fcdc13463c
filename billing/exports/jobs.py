"""Makes exports in the background: taken up by a worker, written into the storage, removed when their time is over.

A job in the queue only wakes a worker, which takes up one waiting export after the other. An attempt has a lease that
it renews while it lives; when it has run out, anybody may begin again from the beginning, with a file of its own, and
removes that of the attempt before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import connections, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.actor import Actor
from accounts.actors import actor_in, key_actor
from accounts.api_keys import find_key_by_id
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import PermissionDenied, PlatformError
from agentplatform.lib.storage import reaching_storage
from billing.exports import files
from billing.exports.manifests import Asking, Json, Order
from billing.exports.requests import backlog, options_of, visible
from billing.exports.writing import scratch, write
from billing.models import UsageExport
from billing.usage_filters import select

logger = structlog.get_logger(__name__)

LEASE = timedelta(seconds=30)
BEAT_SECONDS = 2.0
MOST_TRIES = 3
CHORE_BATCH = 100
COPIED_AT_ONCE = 1024 * 1024
LOST = "Its worker was lost three times, so it is not tried again. Ask for it anew, of a shorter period."
FAULT = "Something went wrong on our side; the log says what. Ask for it anew."

Status = UsageExport.Status


class Stopped(Exception):
    """The export was deleted, somebody else has taken it up, or the worker ends."""


@dataclass(slots=True)
class Claim:
    """An attempt at an export that this worker has taken up. Its thread writes `rows`, others `is_stopped`."""

    export: UsageExport
    attempt: int
    rows: int = 0
    is_stopped: bool = field(default=False)

    @property
    def held(self) -> QuerySet[UsageExport]:
        """The export's row, as long as it is this attempt's."""
        return UsageExport.objects.filter(pk=self.export.pk, attempt=self.attempt, status=Status.RUNNING)

    @property
    def stored_as(self) -> str:
        return files.name_of(self.export, self.attempt)

    def go_on(self, rows: int) -> None:
        self.rows = rows
        if self.is_stopped:
            raise Stopped


# --- taking up ---


async def work() -> None:
    """Makes exports as long as there are any."""
    await backlog.work(claim_next, _make_alive)


def claim_next() -> Claim | None:
    """Takes up the export that has waited longest; None: there is none that anybody may take up."""
    while True:
        now = timezone.now()
        with transaction.atomic():
            waiting = UsageExport.objects.select_for_update(skip_locked=True).filter(due_at__lte=now)
            if (export := waiting.order_by("due_at").first()) is None:
                return None
            if export.tries >= MOST_TRIES:
                files.remove(export)
                _end(UsageExport.objects.filter(pk=export.pk), Status.FAILED, error=LOST)
                continue
            files.remove(export)
            export.attempt += 1
            export.tries += 1
            export.status, export.rows, export.due_at, export.started_at = Status.RUNNING, 0, now + LEASE, now
            export.save()
        return Claim(export, export.attempt)


async def _make_alive(claim: Claim) -> None:
    """Makes it in a thread of its own, which takes minutes, and renews the lease meanwhile."""
    beats = asyncio.create_task(_keep(claim))
    making = asyncio.ensure_future(asyncio.to_thread(make, claim))
    try:
        await asyncio.shield(making)
    except asyncio.CancelledError:
        # The worker ends: the thread notices with its next block, and another worker begins again.
        claim.is_stopped = True
        with suppress(Exception):
            await making
        await in_thread(_release, claim)
        raise
    finally:
        beats.cancel()


async def _keep(claim: Claim) -> None:
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        try:
            if not await in_thread(_renew, claim):
                claim.is_stopped = True
                return
        except Exception as error:
            logger.warning("usage_export_beat_failed", export=str(claim.export.pk), error=str(error))


def _renew(claim: Claim) -> bool:
    return bool(claim.held.update(rows=claim.rows, due_at=timezone.now() + LEASE))


def _release(claim: Claim) -> None:
    with transaction.atomic():
        given = claim.held.update(status=Status.QUEUED, due_at=timezone.now(), tries=F("tries") - 1)
        if given:
            backlog.wake()


# --- one export ---


def make(claim: Claim) -> None:
    """Writes the export and its manifest, or says why it cannot be. Leaves no file behind that nobody knows of."""
    try:
        _complete(claim, _write(claim))
    except Stopped:
        files.forget(claim.stored_as)
    except PlatformError as error:
        _fail(claim, error.message)
    except Exception:
        logger.exception("usage_export_failed", export=str(claim.export.pk))
        _fail(claim, FAULT)
    finally:
        connections.close_all()


def _write(claim: Claim) -> Json:
    order = order_of(claim.export)
    with scratch() as file:
        manifest = write(order, file, claim.go_on)
        file.seek(0)
        # The snapshot's connection is not needed any more, and saving may take long.
        connections.close_all()
        with _stopping(claim), reaching_storage("save"):
            default_storage.save(claim.stored_as, _Watched(file, lambda: claim.go_on(manifest["rows"])))
    return manifest


class _stopping:
    """Whatever a storage makes of being stopped, it is Stopped."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is not None and self._claim.is_stopped:
            raise Stopped from error


class _Watched(File):
    """A file whose reader can be stopped."""

    DEFAULT_CHUNK_SIZE = COPIED_AT_ONCE

    def __init__(self, file: Any, go_on: Callable[[], None]) -> None:
        super().__init__(file)
        self._source = file
        self._go_on = go_on

    def read(self, *size: int) -> bytes:
        self._go_on()
        block: bytes = self._source.read(*size)
        return block


def order_of(export: UsageExport) -> Order:
    """The export as it was asked for, over what whoever asked may see now. Raises PermissionDenied, Invalid."""
    actor = _asking(export)
    chosen = select(export.filters, visible(actor))
    asking = Asking(export.user_id, export.user, export.api_key_id, export.api_key)
    return Order(
        export.pk,
        export.workspace,
        chosen.qs,
        export.filters,
        chosen.period,
        options_of(export),
        asking,
        of_one_run=chosen.is_of_one_run,
    )


def _asking(export: UsageExport) -> Actor:
    if export.api_key_id:
        found = find_key_by_id(export.api_key_id, timezone.now())
        actor = key_actor(found) if found and found["workspace_id"] == export.workspace_id else None
    else:
        actor = actor_in(export.user_id, export.workspace_id, may_be_superuser=True)
    if actor is None or not actor.may("export:usage"):
        raise PermissionDenied("Whoever asked for it may not export usage any more.")
    return actor


def _complete(claim: Claim, manifest: Json) -> None:
    file, now = manifest["file"], timezone.now()
    ended = _end(
        claim.held,
        Status.COMPLETED,
        rows=manifest["rows"],
        size=file["size"],
        sha256=file["sha256"],
        manifest=manifest,
        expires_at=now + timedelta(days=settings.EXPORT_KEEP_DAYS),
    )
    if not ended:
        raise Stopped


def _fail(claim: Claim, error: str) -> None:
    files.forget(claim.stored_as)
    _end(claim.held, Status.FAILED, error=error)


def _end(found: QuerySet[UsageExport], status: str, **values: Any) -> int:
    return found.update(status=status, due_at=None, finished_at=timezone.now(), **values)


# --- chores ---


def expire_some() -> bool:
    """Removes files whose time is over; the rows stay, with their manifests. Whether there may be more."""
    over = UsageExport.objects.filter(status=Status.COMPLETED, expires_at__lt=timezone.now())
    with transaction.atomic():
        batch = list(over.select_for_update(skip_locked=True).order_by("expires_at")[:CHORE_BATCH])
        for export in batch:
            files.remove(export)
            export.status = Status.EXPIRED
            export.save(update_fields=["status"])
    return len(batch) == CHORE_BATCH
