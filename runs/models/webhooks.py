"""Who is told of runs over HTTP, and what became of each message."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.actor import Actor
from accounts.tenancy import TenantModel, TenantQuerySet
from agentplatform.lib.ids import uuid7
from agentplatform.lib.secrets import EncryptedTextField
from agents.models import Agent


class Webhook(TenantModel):
    """An address that is told of events of the workspace's runs, or of one agent's.

    Messages are signed with `secret` and, until `previous_until`, with the secret before it too. `failing_since`: since
    when nothing has got through; one that was disabled for that says so in `disabled_reason`.
    """

    resource = "Webhook"
    audited = ("name", "events")

    name = models.CharField(_("name"), max_length=100)
    url = models.CharField(_("URL"), max_length=2000)
    events = ArrayField(models.CharField(max_length=32), verbose_name=_("events"))
    agent = models.ForeignKey(
        Agent,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="webhooks",
        verbose_name=_("agent"),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    disabled_reason = models.TextField(_("disabled because"), blank=True)
    failing_since = models.DateTimeField(_("failing since"), null=True)
    secret = EncryptedTextField(db_comment="Fernet token; see FIELD_ENCRYPTION_KEYS")
    previous_secret = EncryptedTextField(null=True, db_comment="Fernet token; see FIELD_ENCRYPTION_KEYS")
    previous_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="webhook_name_once")]
        db_table_comment = "Addresses that are told of runs"

    def __str__(self) -> str:
        return self.name


class DeliveryQuerySet(TenantQuerySet["WebhookDelivery"]):
    """Deliveries belong to their webhook's workspace."""

    def visible_to(self, actor: Actor) -> DeliveryQuerySet:
        return self.filter(webhook__workspace_id=actor.workspace_id)


class WebhookDelivery(models.Model):
    """A message to a webhook. Its id is the `webhook-id` of every attempt.

    `payload` is `{"type", "timestamp", "data"}`. `attempts` counts all, `retries` those since it was made or replayed.
    `next_attempt_at` is also the lease of the job that was put into the queue: what has not ended by then gets another.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Failed")

    resource = "Delivery"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    webhook = models.ForeignKey(
        Webhook,
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_index=False,
        verbose_name=_("webhook"),
    )
    run_id = models.UUIDField(null=True, db_comment="No key: runs may go")
    type = models.CharField(_("type"), max_length=32)
    payload = models.JSONField(_("payload"))
    status = models.CharField(_("status"), max_length=16, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    retries = models.PositiveSmallIntegerField(default=0)
    response_status = models.PositiveSmallIntegerField(_("response status"), null=True)
    response = models.TextField(_("response"), blank=True, db_comment="How the last answer began")
    error = models.TextField(_("error"), blank=True)
    latency_ms = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(_("created at"))
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True)
    finished_at = models.DateTimeField(_("finished at"), null=True)

    objects: ClassVar[DeliveryQuerySet] = DeliveryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-id"]
        indexes = [
            # A webhook's log, and what is to be sent.
            models.Index(fields=["webhook", "-id"], name="delivery_newest"),
            models.Index(fields=["next_attempt_at"], name="delivery_due", condition=Q(status="pending")),
        ]
        db_table_comment = "Messages to webhooks"

    def __str__(self) -> str:
        return f"{self.type} {self.status}"
