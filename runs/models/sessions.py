"""Conversations and their messages."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from agentplatform.lib.ids import uuid7
from agents.models import Agent
from runs.models.ownership import SessionQuerySet
from runs.models.runs import Run


class Session(TenantModel):
    """A conversation. It is the LangGraph thread of its runs: its id is their `thread_id`.

    Its turns are its runs. Each follows another one (`Run.previous`), so together they are a tree; shown is the branch
    from a first turn to `head`.
    """

    resource = "Session"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("user"),
    )
    end_user = models.CharField(
        _("end user"), max_length=200, blank=True, db_comment="The client's own user, free text"
    )
    agent = models.ForeignKey(
        Agent,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="sessions",
        verbose_name=_("agent"),
    )
    title = models.CharField(_("name"), max_length=100, default="New session", db_column="name")
    named_by_person = models.BooleanField(
        default=False, db_comment="An automatic name never replaces a person's"
    )
    head = models.ForeignKey(
        Run,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        db_comment="The last turn of the branch that is shown; the next message follows it",
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    objects: ClassVar[SessionQuerySet] = SessionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["workspace", "-id"], name="session_newest"),
            models.Index(fields=["user", "-id"], name="session_of_user"),
            models.Index(fields=["end_user", "-id"], name="session_of_end_user", condition=~Q(end_user="")),
        ]
        db_table_comment = "Conversations"

    def __str__(self) -> str:
        return self.title


class Message(models.Model):
    """A message of a session, as people see the conversation. The first one of a run is what the run answers."""

    resource = "Message"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="messages", db_index=False)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="messages")
    source = models.CharField(max_length=100, db_comment="user, or the agent's name")
    content = models.TextField(blank=True)
    type = models.CharField(max_length=32, default="text")
    thought = models.TextField(blank=True)
    models_usage = models.JSONField(null=True, db_comment="{input_tokens, output_tokens}")
    metadata = models.JSONField(default=dict)
    active = models.BooleanField(
        default=True, db_default=True, db_comment="Whether it stands on the branch that is shown"
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["session", "created_at", "id"], name="message_in_order")]
        db_table_comment = "Messages of sessions"

    def __str__(self) -> str:
        return f"{self.source}: {self.content[:50]}"
