"""What people do with exports in the background: ask for them, download them, delete them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from accounts.models import Workspace
from agentplatform.lib.backlog import Backlog
from agentplatform.lib.downloads import StoredFile
from agentplatform.lib.errors import Conflict, NotFound, RateLimited
from agentplatform.lib.ids import as_uuid, uuid7
from agentplatform.lib.locks import lock_name
from agentplatform.lib.storage import reaching_storage, read_blocks
from billing.exports import files
from billing.exports.manifests import Asking, Order
from billing.exports.options import Options
from billing.exports.proofs import Proof, prove
from billing.models import UsageExport, UsageRecord
from billing.usage import Records
from billing.usage_filters import select

MAKE = "billing.make_exports"
QUEUE = "exports"
backlog = Backlog(MAKE, QUEUE, UsageExport.objects.all())

# In a request; `manage.py verify_export` counts longer ones.
MOST_RECOUNTED = 1_000_000

Status = UsageExport.Status


def ask(actor: Actor, options: Options, filters: Mapping[str, str]) -> UsageExport:
    """Has an export made in the background. The one place through which all of those are asked for.

    A period that is open is closed here, so that an export that is begun again has the same rows.
    Raises PermissionDenied, Invalid, RateLimited.
    """
    actor.require("export:usage")
    chosen = select(filters, visible(actor), prefix="filters.")
    period = {"start": chosen.period.start.isoformat(), "end": chosen.period.end.isoformat()}
    with transaction.atomic():
        lock_exports(actor.workspace_id)
        under_way = UsageExport.objects.filter(
            workspace_id=actor.workspace_id, status__in=UsageExport.UNDER_WAY
        )
        if under_way.count() >= settings.EXPORTS_PER_WORKSPACE:
            raise RateLimited(
                f"{settings.EXPORTS_PER_WORKSPACE} exports of this workspace are under way, which is the most. Wait "
                "for one to end, or delete one.",
                retry_after=30,
            )
        export = UsageExport.objects.create(
            workspace_id=actor.workspace_id,
            user_id=actor.user_id,
            user=actor.username,
            api_key_id=actor.api_key_id,
            api_key=actor.api_key_name,
            format=options.format,
            columns=list(options.columns),
            filters={**filters, **period},
            options=options.others(),
            due_at=timezone.now(),
        )
        audit.record(Action.EXPORTED, audit.thing(export), after=_told(filters, period, options))
        backlog.wake()
    return export


def lock_exports(workspace_id: uuid.UUID) -> None:
    """Nobody asks for another one until the transaction ends."""
    lock_name(f"usage exports of {workspace_id}")


def at_once(
    actor: Actor, options: Options, filters: Mapping[str, str], *, beside: frozenset[str] = frozenset()
) -> Order:
    """An export that somebody waits for. The one place through which all of those are asked for.

    Names in `beside` are no filters. Raises PermissionDenied, Invalid.
    """
    actor.require("export:usage")
    chosen = select(filters, visible(actor), beside=beside)
    period = {"start": chosen.period.start.isoformat(), "end": chosen.period.end.isoformat()}
    audit.record(
        Action.EXPORTED,
        audit.Thing("Usage"),
        after=_told({name: value for name, value in filters.items() if name not in beside}, period, options),
    )
    return Order(
        uuid7(),
        Workspace.objects.get(pk=actor.workspace_id),
        chosen.qs,
        {name: value for name, value in filters.items() if name not in beside} | period,
        chosen.period,
        options,
        Asking(actor.user_id, actor.username, actor.api_key_id, actor.api_key_name),
        of_one_run=chosen.is_of_one_run,
    )


def _told(filters: Mapping[str, str], period: Mapping[str, str], options: Options) -> dict[str, Any]:
    """What an export is of, as the audit log tells it: names of people and keys are not for it."""
    narrowed = {
        name: value
        for name, value in filters.items()
        if name not in ("user", "api_key", "end_user") or as_uuid(value)
    }
    return {**narrowed, **period, "format": options.format}


def file_of(actor: Actor, export: UsageExport) -> StoredFile:
    """The file of a completed export. The one place through which all of them are downloaded.

    Raises PermissionDenied, Conflict.
    """
    actor.require("export:usage")
    file = stored_file(export)
    audit.record(Action.READ, audit.thing(export))
    return file


def stored_file(export: UsageExport) -> StoredFile:
    """Raises Conflict where there is none."""
    manifest = completed_manifest(export)
    options = options_of(export)
    return StoredFile(
        files.name_of(export, export.attempt),
        manifest["file"]["name"],
        options.content_type,
        manifest["file"]["size"],
        manifest["file"]["sha256"],
    )


def completed_manifest(export: UsageExport) -> dict[str, Any]:
    """Raises Conflict where the export is not completed."""
    if export.status != Status.COMPLETED or export.manifest is None:
        said = {
            Status.FAILED: "The export has failed; `error` says why.",
            Status.EXPIRED: export.error or "The file was removed when its time was over. Ask for it anew.",
        }
        raise Conflict(
            said.get(Status(export.status), "The export is not completed yet; ask again in a few seconds.")
        )
    return export.manifest


def prove_stored(actor: Actor, export: UsageExport) -> Proof:
    """Whether the file in the storage is as it was exported. Raises PermissionDenied, Conflict, ServiceUnavailable."""
    actor.require("export:usage")
    manifest, file = completed_manifest(export), stored_file(export)
    with reaching_storage("read"):
        return prove(manifest, lambda: read_blocks(file.stored_as), recount=export.rows <= MOST_RECOUNTED)


def delete(actor: Actor, export_id: uuid.UUID) -> None:
    """With its file; one that is under way is stopped. Raises PermissionDenied, NotFound."""
    actor.require("export:usage")
    with transaction.atomic():
        visible = UsageExport.objects.visible_to(actor).select_for_update()
        if (export := visible.filter(pk=export_id).first()) is None:
            raise NotFound("UsageExport", export_id)
        audit.deleted(export)
        _delete(export)


def delete_of_person(user_id: uuid.UUID, workspace_id: uuid.UUID) -> int:
    """All that a person has asked for in a workspace."""
    with transaction.atomic():
        theirs = UsageExport.objects.select_for_update().filter(user_id=user_id, workspace_id=workspace_id)
        found = list(theirs)
        for export in found:
            _delete(export)
    return len(found)


def _delete(export: UsageExport) -> None:
    """The row first: what is rolled back still has its file. A file that is left is found by a chore."""
    names = files.names_of(export)
    export.delete()
    transaction.on_commit(lambda: files.forget(*names))


def options_of(export: UsageExport) -> Options:
    return Options.of({"format": export.format, "columns": export.columns, **export.options})


def visible(actor: Actor) -> Records:
    """The entries that somebody may export."""
    records: Records = UsageRecord.objects.visible_to(actor).settled()
    return records
