"""The table of security events: a row for what came from one source in one minute."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.security.kinds import Kind as Kind
from agentplatform.lib.ids import uuid7


class SecurityEvent(models.Model):
    """Something of one kind from one source, as often as it happened within a minute.

    It belongs to no tenant: an attacker knows no walls. Ids only, no names: whoever is meant can be erased elsewhere.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(_("kind"), max_length=32, choices=Kind.choices)
    minute = models.DateTimeField(_("minute"), db_comment="The minute in which it happened, by its beginning")
    address = models.CharField(
        _("address"),
        max_length=64,
        blank=True,
        db_comment="Whence; of IPv6 the network /64. Empty: of many, more than are kept apart",
    )
    subject = models.CharField(
        _("subject"),
        max_length=100,
        blank=True,
        db_comment="Whom or what it concerns: user:<id>, key:<id>; empty where nobody is known",
    )
    count = models.PositiveIntegerField(_("times"), default=1)
    first_at = models.DateTimeField(_("first"))
    last_at = models.DateTimeField(_("last"))
    request_id = models.CharField(
        _("request id"), max_length=128, blank=True, db_comment="Of the first request, as in the log"
    )
    objects_named = ArrayField(
        models.CharField(max_length=100),
        default=list,
        blank=True,
        verbose_name=_("objects"),
        db_comment="Type and id of what was asked for, the first few",
    )
    attempts = models.PositiveSmallIntegerField(default=0, db_comment="To deliver it to SECURITY_WEBHOOK_URL")
    next_attempt_at = models.DateTimeField(
        null=True, db_comment="Empty: there is nothing to deliver (any more)"
    )
    delivered_at = models.DateTimeField(_("delivered at"), null=True)

    class Meta:
        verbose_name = _("security event")
        verbose_name_plural = _("security events")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "kind", "address", "subject"], name="security_event_once_a_minute"
            )
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="security_event_to_deliver",
            )
        ]
        db_table_comment = (
            "Failed sign-ins, misused keys and reaches over the tenant wall, by source and minute"
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.address or '–'} × {self.count}"
