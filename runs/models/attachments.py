"""Files that are sent along with messages."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from accounts.actor import Actor
from accounts.tenancy import TenantModel, TenantQuerySet
from agentplatform.lib.ids import uuid7
from runs.models.sessions import Message, Session


class AttachmentQuerySet(TenantQuerySet["Attachment"]):
    """Attachments belong to whoever the session belongs to."""

    def visible_to(self, actor: Actor) -> AttachmentQuerySet:
        rows = super().visible_to(actor)
        return rows if actor.may("read:all-sessions") else rows.filter(session__user_id=actor.user_id)


def stored_name(attachment: Attachment, name: str) -> str:
    """Made by us, whatever the user's file is called."""
    return f"attachments/{attachment.workspace_id}/{uuid7()}"


class Attachment(TenantModel):
    """A file of a message; without a message it has not been sent yet. Copies of a message share the stored file."""

    resource = "Attachment"

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="attachments", db_index=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    message = models.ForeignKey(
        Message, null=True, on_delete=models.SET_NULL, related_name="attachments", db_index=False
    )
    name = models.CharField(max_length=255, db_comment="As the user has called it")
    media_type = models.CharField(max_length=100, db_comment="Found from its bytes")
    size = models.PositiveBigIntegerField(db_comment="Bytes")
    sha256 = models.CharField(max_length=64)
    file = models.FileField(
        max_length=200, upload_to=stored_name, db_comment="Its name in the storage (STORAGE_URL)"
    )
    created_at = models.DateTimeField()

    objects: ClassVar[AttachmentQuerySet] = AttachmentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["session", "file"], name="attachment_of_session"),
            models.Index(fields=["message"], name="attachment_of_message"),
            models.Index(fields=["file"], name="attachment_file"),
            # Those that were never sent.
            models.Index(
                fields=["created_at"],
                name="attachment_not_sent",
                condition=models.Q(message__isnull=True),
            ),
        ]
        db_table_comment = "Files of messages; what is in them lies in the storage"

    def __str__(self) -> str:
        return self.name

    @property
    def stored(self) -> str:
        """Its file's name in the storage."""
        return self.file.name or ""

    @property
    def key(self) -> str:
        """What a run's input and state refer to it by: the last part of the stored name."""
        return self.stored.rpartition("/")[2]
