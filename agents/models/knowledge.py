"""Knowledge bases: documents, and the pieces of them that are found."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.actor import Actor
from accounts.tenancy import TenantModel, TenantQuerySet
from agentplatform.lib.ids import uuid7
from agents.models.chat_models import ChatModel
from agents.models.configurations import name_validator

CHUNK_SIZES = (200, 4000)
MOST_OVERLAP = 1000


class KnowledgeBase(TenantModel):
    """Documents that agents search. It has no versions: an agent's versions name it, and see what is in it now."""

    resource = "KnowledgeBase"
    audited = ("name", "description")

    name = models.CharField(_("name"), max_length=100, validators=[name_validator])
    description = models.TextField(_("description"), blank=True, max_length=2000)
    embedding_model = models.ForeignKey(
        ChatModel,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="knowledge_bases",
        verbose_name=_("embedding model"),
        db_comment="Empty: it is searched by words alone",
    )
    chunk_size = models.PositiveSmallIntegerField(
        _("chunk size"),
        default=1000,
        validators=[MinValueValidator(CHUNK_SIZES[0]), MaxValueValidator(CHUNK_SIZES[1])],
        db_comment="Characters of a chunk, at most",
    )
    chunk_overlap = models.PositiveSmallIntegerField(
        _("chunk overlap"),
        default=150,
        validators=[MaxValueValidator(MOST_OVERLAP)],
        db_comment="Characters that a chunk shares with the one before, about",
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        verbose_name = _("knowledge base")
        verbose_name_plural = _("knowledge bases")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="knowledge_base_name_once")]
        db_table_comment = "Documents that agents search"

    def __str__(self) -> str:
        return self.name


class DocumentQuerySet(TenantQuerySet["Document"]):
    """Documents belong to their knowledge base's workspace."""

    def visible_to(self, actor: Actor) -> DocumentQuerySet:
        return self.filter(knowledge_base__workspace_id=actor.workspace_id)


class Document(models.Model):
    """A file of a knowledge base.

    Its chunks belong to the attempt that has made them, and those of `live_attempt` are found: while a new version is
    indexed the old one still is. `due_at` is when it may be taken up: of one that is being indexed, when that attempt
    is given up for lost.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        INDEXING = "indexing", _("Indexing")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")

    UNDER_WAY = (Status.PENDING, Status.INDEXING)
    resource = "Document"
    audited = ("name", "media_type", "sha256")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    knowledge_base = models.ForeignKey(
        KnowledgeBase,
        on_delete=models.CASCADE,
        related_name="documents",
        db_index=False,
        verbose_name=_("knowledge base"),
    )
    name = models.CharField(_("name"), max_length=255)
    media_type = models.CharField(
        _("media type"), max_length=100, db_comment="By its bytes, not by what was said"
    )
    size = models.PositiveBigIntegerField(_("size"), db_comment="Bytes")
    sha256 = models.CharField(max_length=64, db_comment="Of the bytes, hexadecimal")
    stored_as = models.CharField(max_length=200, db_comment="The file's name in the storage")
    status = models.CharField(
        _("status"), max_length=16, choices=Status.choices, default=Status.PENDING, db_default=Status.PENDING
    )
    progress = models.FloatField(_("progress"), default=0, db_default=0, db_comment="0 to 1")
    error = models.TextField(_("error"), blank=True, default="", db_default="")
    chunk_count = models.PositiveIntegerField(
        _("chunks"), default=0, db_default=0, db_comment="Of the version that is found"
    )
    payer = models.JSONField(
        default=dict,
        editable=False,
        db_comment="Who has asked for it: {user_id, user, api_key_id, api_key}; calls of models are in this name",
    )
    attempt = models.PositiveIntegerField(
        default=0, db_default=0, db_comment="Attempts at indexing so far; only the latest may write"
    )
    live_attempt = models.PositiveIntegerField(
        null=True, db_comment="Whose chunks are found; empty: none yet"
    )
    tries = models.PositiveSmallIntegerField(
        default=0, db_default=0, db_comment="Attempts since it was asked for"
    )
    due_at = models.DateTimeField(
        null=True, db_comment="When it may be taken up: waiting, or in hands that do not beat any more"
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)
    indexed_at = models.DateTimeField(_("indexed at"), null=True)

    objects: ClassVar[DocumentQuerySet] = DocumentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("document")
        verbose_name_plural = _("documents")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["knowledge_base", "name"], name="document_name_once")]
        indexes = [
            models.Index(
                fields=["due_at"], name="document_due", condition=Q(status__in=["pending", "indexing"])
            )
        ]
        db_table_comment = "Files of knowledge bases"

    def __str__(self) -> str:
        return self.name


class Chunk(models.Model):
    """A piece of a document, as it is found and quoted.

    A column `terms` holds the words of heading and text, and `base:<id>`; a trigger keeps it, the ORM does not read it.
    """

    id = models.BigAutoField(primary_key=True)
    document = models.ForeignKey(
        Document, on_delete=models.CASCADE, related_name="chunks", verbose_name=_("document"), db_index=False
    )
    knowledge_base = models.ForeignKey(
        KnowledgeBase, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    attempt = models.PositiveIntegerField(db_comment="The document's attempt that has made it")
    position = models.PositiveIntegerField(_("position"), db_comment="0, 1, 2 … in the document")
    text = models.TextField(_("text"))
    heading = models.TextField(
        _("heading"), blank=True, db_comment="The headings above it, from the outermost, with › between them"
    )
    page = models.PositiveIntegerField(_("page"), null=True, db_comment="1, 2, 3 …")
    first_line = models.PositiveIntegerField(_("first line"), null=True, db_comment="1, 2, 3 …")
    last_line = models.PositiveIntegerField(_("last line"), null=True)
    hash = models.UUIDField(db_comment="Of heading and text: the same words need not be embedded again")

    class Meta:
        verbose_name = _("chunk")
        verbose_name_plural = _("chunks")
        constraints = [
            models.UniqueConstraint(fields=["document", "attempt", "position"], name="chunk_position_once")
        ]
        db_table_comment = "Pieces of documents that are found"

    def __str__(self) -> str:
        return f"{self.document_id} {self.position}"


class RealArrayField(models.Field):
    """A PostgreSQL `real[]`: 4 bytes a number, where Django's own array of floats takes 8. Written and read by SQL."""

    def db_type(self, connection: object) -> str:
        return "real[]"


class ChunkVector(models.Model):
    """What an embedding model has made of a chunk.

    A table of its own, so that a walk over vectors reads no texts; an array, so that it needs no extension: pgvector
    comes in where it is there, by a cast (`agents.knowledge.vectors`).
    """

    chunk = models.OneToOneField(Chunk, on_delete=models.CASCADE, primary_key=True, related_name="vector")
    knowledge_base_id = models.UUIDField(db_comment="Of its document; no key, to be fast")
    space = models.UUIDField(
        db_comment="Which model has made it: vectors of one space can be compared with one another"
    )
    embedding = RealArrayField()

    class Meta:
        verbose_name = _("vector")
        verbose_name_plural = _("vectors")
        indexes = [models.Index(fields=["knowledge_base_id", "space"], name="vector_of_base")]
        db_table_comment = "Embeddings of chunks"

    def __str__(self) -> str:
        return str(self.chunk_id)
