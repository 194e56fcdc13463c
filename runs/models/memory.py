"""What agents remember of their users from one conversation to the next."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from agents.models import Agent
from runs.models.ownership import OwnedQuerySet

TITLE = 60
"""Characters of a memory that name it."""


class MemoryQuerySet(OwnedQuerySet):
    all_permission = "read:all-memories"


class Memory(TenantModel):
    """One thing to remember. It belongs to a user and, where a client has named one, to an end user of theirs.

    `namespace` and `key` are LangGraph's. What the built-in tools save has the namespace `memories` and the value
    `{"content", "topic"}`. The column `terms`, kept by a trigger, has the words of all texts in `value`.
    """

    resource = "Memory"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        verbose_name=_("user"),
    )
    end_user = models.CharField(
        _("end user"), max_length=200, blank=True, db_comment="The client's own user, free text"
    )
    agent = models.ForeignKey(
        Agent,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="memories",
        verbose_name=_("agent"),
        db_comment="Whose memory it is; null: that of all agents of the workspace",
    )
    namespace = ArrayField(models.CharField(max_length=200), db_comment="LangGraph's path to it")
    key = models.CharField(max_length=200, db_comment="LangGraph's name of it, once in its namespace")
    value = models.JSONField(_("content"), db_comment="At most 4 KB; {content, topic} of the built-in tools")
    run_id = models.UUIDField(
        _("run"), null=True, db_comment="The run that has written it; runs come and go, so no key"
    )
    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"))

    objects: ClassVar[MemoryQuerySet] = MemoryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("memory")
        verbose_name_plural = _("memories")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "workspace", "end_user", "agent", "namespace", "key"],
                condition=Q(agent__isnull=False),
                name="memory_of_agent_once",
            ),
            models.UniqueConstraint(
                fields=["user", "workspace", "end_user", "namespace", "key"],
                condition=Q(agent=None),
                name="memory_of_all_once",
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "-id"], name="memory_newest"),
            # What an agent is shown, what a user's quota counts, and what goes with the user.
            models.Index(fields=["user", "workspace", "end_user", "-updated_at"], name="memory_of_user"),
        ]
        db_table_comment = "What agents remember of their users"

    def __str__(self) -> str:
        return (self.content or self.key)[:TITLE]

    @property
    def content(self) -> str:
        """The text, as far as it has the shape that the built-in tools write."""
        return _text(self.value.get("content"))

    @property
    def topic(self) -> str:
        return _text(self.value.get("topic"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
