"""Files of messages: uploaded to a session, sent with a message, read, and deleted with the session.

The row comes before the file and goes after it, so that no file is left of which nobody knows. A run's input and state
hold references only: `{"key", "name", "media_type"}`, where the key finds the file within the run's session.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib import queue
from agentplatform.lib.errors import Conflict, Invalid, NotFound, PayloadTooLarge
from agentplatform.lib.ids import uuid7
from agentplatform.lib.storage import reaching_storage
from runs.commands import writable_session
from runs.conversations.file_types import clean_name, media_type_of
from runs.models import Attachment, Message, Session
from runs.queueing.turns import QUEUE

MOST = 10
"""In one message."""
DELETE_FILES = "runs.delete_files"
FILES_IN_A_JOB = 200
# How long a file that was uploaded may wait to be sent.
UNSENT_KEPT = timedelta(hours=24)
CHORE_BATCH = 100

Json = dict[str, Any]


def upload(actor: Actor, session_id: uuid.UUID, file: UploadedFile) -> Attachment:
    """Keeps a file for a message that is still to be sent.

    Raises NotFound, PermissionDenied, PayloadTooLarge, Invalid for what it is, and ServiceUnavailable.
    """
    actor.require("write:session")
    session = writable_session(actor, session_id)
    if (file.size or 0) > settings.ATTACHMENT_MAX_SIZE:
        raise PayloadTooLarge(f"A file may have at most {settings.ATTACHMENT_MAX_SIZE:,} bytes.")
    content = file.read()
    name = clean_name(file.name or "")
    media_type = media_type_of(content, name, file.content_type or "")
    attachment = Attachment(
        workspace_id=session.workspace_id,
        session_id=session.pk,
        user_id=actor.user_id,
        name=name,
        media_type=media_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        created_at=timezone.now(),
    )
    attachment.file.name = attachment.file.field.generate_filename(attachment, name)
    _insert(attachment)
    try:
        with reaching_storage("save"):
            default_storage.save(attachment.stored, ContentFile(content))
    except BaseException:
        attachment.delete()
        raise
    return attachment


def _insert(attachment: Attachment) -> None:
    """Under the session's lock, so that what it has in all is counted right."""
    with transaction.atomic():
        if not Session.objects.select_for_update().filter(pk=attachment.session_id).exists():
            raise NotFound("Session", attachment.session_id)
        own = Attachment.objects.filter(session_id=attachment.session_id)
        used = own.aggregate(total=Sum("size"))["total"] or 0
        if used + attachment.size > settings.ATTACHMENT_SESSION_SIZE:
            raise PayloadTooLarge(
                f"The files of a session may have at most {settings.ATTACHMENT_SESSION_SIZE:,} bytes together."
            )
        attachment.save(force_insert=True)
        audit.created(attachment)


def read(attachment: Attachment) -> bytes:
    """Raises ServiceUnavailable."""
    with reaching_storage("read"), default_storage.open(attachment.stored) as file:
        content: bytes = file.read()
        return content


def withdraw(actor: Actor, attachment: Attachment) -> None:
    """Deletes a file that has not been sent. Raises PermissionDenied, Conflict, ServiceUnavailable."""
    actor.require("write:session")
    writable_session(actor, attachment.session_id)
    with transaction.atomic():
        unsent = Attachment.objects.select_for_update().filter(pk=attachment.pk).first()
        if unsent is None:
            raise NotFound("Attachment", attachment.pk)
        if unsent.message_id is not None:
            raise Conflict("It has been sent with a message. It goes with its session.")
        audit.record(
            Action.DELETED, audit.thing(unsent), actor=actor, before={"session_id": unsent.session_id}
        )
        _delete(unsent)


# --- with messages ---


def to_send(
    session_id: uuid.UUID, ids: Sequence[uuid.UUID], instead_of: Message | None = None
) -> list[Attachment]:
    """The attachments with these ids, locked: not sent yet, or those of the message that is said otherwise.

    For a caller in a transaction. Raises Invalid.
    """
    if not ids:
        return []
    rows = Attachment.objects.select_for_update().filter(session_id=session_id, pk__in=ids)
    found = {row.pk: row for row in rows.order_by("pk")}
    own = instead_of.pk if instead_of else None
    for key in ids:
        if key not in found:
            raise Invalid({"attachments": f"{key} is no attachment of this session. Upload it there first."})
        if found[key].message_id not in (None, own):
            raise Invalid({"attachments": f"{key} has been sent already. Upload the file again."})
    return [found[key] for key in ids]


def references(attachments: Iterable[Attachment]) -> list[Json]:
    """As a run's input has them."""
    return [{"key": one.key, "name": one.name, "media_type": one.media_type} for one in attachments]


def give(attachments: Sequence[Attachment], message: Message) -> None:
    """Makes them the message's; of those that are another message's already, copies."""
    unsent = [one.pk for one in attachments if one.message_id is None]
    if unsent:
        Attachment.objects.filter(pk__in=unsent).update(message_id=message.pk)
    copies = [_copy(one, message) for one in attachments if one.message_id is not None]
    Attachment.objects.bulk_create(copies)


def copy_all(messages: dict[uuid.UUID, Message]) -> None:
    """Gives each message copies of the attachments of the one whose id it is under."""
    rows = Attachment.objects.filter(message__in=messages).order_by("pk")
    Attachment.objects.bulk_create(_copy(row, messages[row.message_id]) for row in rows if row.message_id)


def _copy(attachment: Attachment, message: Message) -> Attachment:
    columns = ("workspace_id", "user_id", "name", "media_type", "size", "sha256", "file", "created_at")
    values = {name: getattr(attachment, name) for name in columns}
    return Attachment(id=uuid7(), session_id=message.session_id, message_id=message.pk, **values)


def find_attachments(messages: Sequence[Message]) -> None:
    """Gives each message its `sent_attachments`. One query, however many."""
    found: defaultdict[uuid.UUID, list[Attachment]] = defaultdict(list)
    for row in Attachment.objects.filter(message__in=[message.pk for message in messages]).order_by("pk"):
        assert row.message_id
        found[row.message_id].append(row)
    for message in messages:
        message.sent_attachments = found[message.pk]  # type: ignore[attr-defined]


# --- deleting ---


def delete_files_later(attachments: QuerySet[Attachment]) -> None:
    """Has a worker delete the files of rows that this transaction is about to delete, once it has committed."""
    names = list(attachments.values_list("file", flat=True).distinct())
    for start in range(0, len(names), FILES_IN_A_JOB):
        queue.defer(DELETE_FILES, queue=QUEUE, names=names[start : start + FILES_IN_A_JOB])


def delete_files(names: Sequence[str]) -> None:
    """Deletes those of the files of which no row is left. Raises ServiceUnavailable."""
    used = set(Attachment.objects.filter(file__in=names).values_list("file", flat=True))
    with reaching_storage("delete"):
        for name in names:
            if name not in used:
                default_storage.delete(name)


def remove_unsent() -> bool:
    """One batch of what was never sent; whether there may be more."""
    old = Attachment.objects.filter(message__isnull=True, created_at__lt=timezone.now() - UNSENT_KEPT)
    with transaction.atomic():
        batch = list(old.select_for_update(skip_locked=True).order_by("created_at")[:CHORE_BATCH])
        for attachment in batch:
            _delete(attachment)
    return len(batch) == CHORE_BATCH


def _delete(attachment: Attachment) -> None:
    """The file first: where that fails, the row still knows of it."""
    name = attachment.stored
    if not Attachment.objects.filter(file=name).exclude(pk=attachment.pk).exists():
        with reaching_storage("delete"):
            default_storage.delete(name)
    attachment.delete()
