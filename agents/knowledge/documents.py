"""What people do with knowledge bases and their documents: add, replace, index again, delete."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import IO, Any

import structlog
from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import Conflict, Invalid, PayloadTooLarge
from agents import validation
from agents.knowledge import vectors
from agents.knowledge.indexing import backlog, remove_chunks
from agents.knowledge.media import Unreadable, media_type_of
from agents.models import Agent, Document, KnowledgeBase, Tool

logger = structlog.get_logger(__name__)

LONGEST_NAME = 255
# No control characters, and none that turns the direction of what stands behind it.
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+\Z")
SHOWN = 5
BLOCK = 65_536
# What makes the chunks of documents what they are.
SHAPING = ("embedding_model", "chunk_size", "chunk_overlap")


# --- documents ---


def add(base: KnowledgeBase, name: str, file: File[bytes], actor: Actor | None) -> Document:
    """Takes a file in, or a new version of the one that has this name, and has it indexed.

    Until the new version is ready, the old one is found. Raises Invalid, PayloadTooLarge, Conflict.
    """
    name = _checked_name(name)
    size = file.size or 0
    if size > settings.DOCUMENT_MAX_SIZE:
        raise PayloadTooLarge(
            f"The document is larger than {settings.DOCUMENT_MAX_SIZE:,} bytes. Send it in parts, or raise"
            " DOCUMENT_MAX_SIZE."
        )
    handle: IO[bytes] = file.file or file
    try:
        media_type = media_type_of(handle, name)
    except Unreadable as error:
        raise Invalid({"file": str(error)}) from error
    sha256 = _sha256(handle)
    _check_room(base, name)
    # Names of people's are never names of files.
    stored_as = default_storage.save(f"knowledge/{base.workspace_id}/{base.pk}/{uuid.uuid4().hex}", file)
    try:
        with transaction.atomic():
            document, replaced = _write(
                base, name, actor, media_type=media_type, size=size, sha256=sha256, stored_as=stored_as
            )
    except BaseException as error:
        forget_files([stored_as])
        if isinstance(error, IntegrityError):
            raise Conflict("The knowledge base was deleted at the same moment.") from error
        raise
    if replaced:
        forget_files([replaced])
    return document


def _named(document: Document) -> audit.Thing:
    return audit.thing(document)._replace(workspace_id=document.knowledge_base.workspace_id)


def _write(base: KnowledgeBase, name: str, actor: Actor | None, **values: Any) -> tuple[Document, str]:
    """The row, and the stored file that it has had before."""
    row, is_new = Document.objects.select_for_update().get_or_create(
        knowledge_base=base, name=name, defaults={**values, **_asked_for(actor)}
    )
    replaced = "" if is_new else row.stored_as
    if not is_new:
        for field, value in (values | _asked_for(actor)).items():
            setattr(row, field, value)
        # Whoever is indexing the version before may write nothing any more.
        row.attempt += 1
        row.save()
    connection.check_constraints()
    backlog.wake()
    told = {
        "knowledge_base_id": base.pk,
        "size": row.size,
        "media_type": row.media_type,
        "sha256": row.sha256,
    }
    audit.record(Action.CREATED if is_new else Action.UPDATED, _named(row), actor=actor, after=told)
    return row, replaced


def _asked_for(actor: Actor | None) -> dict[str, Any]:
    """What makes a document wait to be indexed, in this actor's name."""
    payer = (
        {
            "user_id": str(actor.user_id),
            "user": actor.username,
            "api_key_id": str(actor.api_key_id) if actor.api_key_id else None,
            "api_key": actor.api_key_name,
        }
        if actor
        else {}
    )
    return {
        "status": Document.Status.PENDING,
        "progress": 0,
        "error": "",
        "tries": 0,
        "due_at": timezone.now(),
        "payer": payer,
    }


def index_again(documents: QuerySet[Document], actor: Actor | None) -> int:
    """Has them indexed anew from their files; answers how many. What is found now is found until then."""
    with transaction.atomic():
        count = 0
        for document in documents.select_related("knowledge_base").select_for_update(of=("self",)):
            for field, value in _asked_for(actor).items():
                setattr(document, field, value)
            document.attempt += 1
            document.save()
            audit.record(Action.UPDATED, _named(document), actor=actor, after={"status": document.status})
            count += 1
        if count:
            backlog.wake()
    return count


def delete(document: Document) -> None:
    """With its chunks, vectors and file. Whoever is indexing it notices."""
    with transaction.atomic():
        row = Document.objects.select_for_update().filter(pk=document.pk).first()
        if row is None:
            return
        audit.record(Action.DELETED, _named(row), before={"knowledge_base_id": row.knowledge_base_id})
        remove_chunks(Q(document_id=row.pk))
        row.delete()
        transaction.on_commit(lambda: forget_files([row.stored_as]))


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not _NAME.match(name):
        raise Invalid({"name": f"Give a name of 1 to {LONGEST_NAME} characters, without control characters."})
    return name


def _check_room(base: KnowledgeBase, name: str) -> None:
    others = Document.objects.filter(knowledge_base=base).exclude(name=name)
    if others.count() >= settings.DOCUMENTS_PER_BASE:
        raise Conflict(
            f"The knowledge base has {settings.DOCUMENTS_PER_BASE:,} documents, which is the most. Delete some, or make"
            " another one."
        )


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(BLOCK):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def forget_files(names: Iterable[str]) -> None:
    """Deletes stored files. One that cannot be deleted is told in the log, and nothing else suffers."""
    for name in names:
        try:
            default_storage.delete(name)
        except Exception as error:
            logger.warning("stored_file_not_deleted", file=name, error=str(error))


# --- knowledge bases ---


def save_base(base: KnowledgeBase, values: Mapping[str, Any], actor: Actor | None) -> KnowledgeBase:
    """Writes `values` to a new or a locked row. Where chunks or vectors would be others, documents are indexed anew.

    Raises Invalid, and Conflict where the name is taken or agents use the present one.
    """
    is_new = base._state.adding
    check_base(base, values)
    reshaped = not is_new and any(name in values and getattr(base, name) != values[name] for name in SHAPING)
    before = audit.fingerprint_of(base)
    for name, value in values.items():
        setattr(base, name, value)
    try:
        with transaction.atomic():
            base.save()
            connection.check_constraints()
            if is_new:
                audit.created(base, actor=actor)
            else:
                audit.updated(base, before, actor=actor)
            if reshaped:
                index_again(Document.objects.filter(knowledge_base=base), actor)
    except IntegrityError as error:
        if "knowledge_base_name_once" in str(error):
            raise Conflict(
                f"There is already a knowledge base {base.name!r}. Choose another name."
            ) from error
        raise Conflict("Something that it refers to was deleted at the same moment. Try again.") from error
    return base


def check_base(base: KnowledgeBase, values: Mapping[str, Any]) -> None:
    """The rules of a knowledge base, whoever writes it. Raises Invalid or Conflict."""
    if "name" in values:
        validation.check_name(values["name"])
        users = users_of(base) if not base._state.adding and values["name"] != base.name else []
        if users:
            said = f"{_listed(users)} names this knowledge base {base.name!r}. Take it off first, or keep the name."
            raise Conflict(said, details={"used_by": users})
    size = values.get("chunk_size", base.chunk_size)
    if values.get("chunk_overlap", base.chunk_overlap) > size // 2:
        raise Invalid({"chunk_overlap": f"Use at most half of chunk_size, which is {size}."})
    if model := values.get("embedding_model"):
        validation.check_embeds("embedding_model", [model])
        vectors.require_extension("embedding_model")


def delete_base(base: KnowledgeBase) -> None:
    """With all that is in it. Raises Conflict, naming what still uses it."""
    with transaction.atomic():
        KnowledgeBase.objects.select_for_update().filter(pk=base.pk).first()
        if users := users_of(base):
            said = f"The knowledge base {base.name!r} is used by {_listed(users)}. Take it off first."
            raise Conflict(said, details={"used_by": users})
        documents = Document.objects.filter(knowledge_base=base)
        files = list(documents.select_for_update().values_list("stored_as", flat=True))
        audit.deleted(base)
        remove_chunks(Q(knowledge_base=base))
        vectors.drop_index(base.pk)
        documents._raw_delete(documents.db)
        with suppress(KnowledgeBase.DoesNotExist):
            base.delete()
        transaction.on_commit(lambda: forget_files(files))


def users_of(base: KnowledgeBase) -> list[str]:
    """What searches it, by kind and name."""
    agents = Agent.objects.filter(workspace_id=base.workspace_id, knowledge__contains=[base.name])
    tools = Tool.objects.filter(knowledge_base=base)
    return [
        *(f"agent {name}" for name in agents.order_by("name").values_list("name", flat=True)),
        *(f"tool {name}" for name in tools.order_by("name").values_list("name", flat=True)),
    ]


def _listed(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
