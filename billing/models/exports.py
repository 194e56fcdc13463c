"""Files of the ledger that are made in the background."""

from __future__ import annotations

from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.actor import Actor
from accounts.tenancy import TenantModel, TenantQuerySet


class UsageExportQuerySet(TenantQuerySet["UsageExport"]):
    """Exports. People see their own; those who may read everybody's usage see all of the workspace."""

    def visible_to(self, actor: Actor) -> Self:
        rows = super().visible_to(actor)
        return rows if actor.may("read:usage") else rows.filter(user_id=actor.user_id)


class UsageExport(TenantModel):
    """A file of the ledger that is made in the background, and what it says of itself; see `billing.exports.jobs`."""

    class Status(models.TextChoices):
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        COMPLETED = "completed", _("Completed")
        FAILED = "failed", _("Failed")
        EXPIRED = "expired", _("Expired")

    UNDER_WAY = (Status.QUEUED, Status.RUNNING)

    resource = "UsageExport"
    audited = ("format", "columns")

    user_id = models.UUIDField(db_comment="Who asked for it; no key, so that it can be asked who did")
    user = models.CharField(_("user"), max_length=150)
    api_key_id = models.UUIDField(null=True)
    api_key = models.CharField(_("API key"), max_length=100, blank=True)
    format = models.CharField(_("format"), max_length=5)
    columns = ArrayField(
        models.CharField(max_length=32), db_comment="In their order; empty: the default ones"
    )
    filters = models.JSONField(
        _("filters"), db_comment="As in the query string; start and end are always there"
    )
    options = models.JSONField(db_comment="bom, decimal, delimiter, tz, compression")
    status = models.CharField(_("status"), max_length=9, choices=Status.choices, default=Status.QUEUED)
    rows = models.BigIntegerField(
        _("rows"), default=0, db_comment="Written so far, about; in the end exactly"
    )
    error = models.TextField(_("error"), blank=True)
    attempt = models.PositiveSmallIntegerField(default=0, db_comment="Fences off whoever had it before")
    tries = models.PositiveSmallIntegerField(
        default=0, db_comment="Attempts whose worker was lost, and this one"
    )
    due_at = models.DateTimeField(
        null=True, db_comment="From when on anybody may take it up; null: it has ended"
    )
    size = models.BigIntegerField(_("size"), null=True, db_comment="Bytes")
    sha256 = models.CharField(max_length=64, blank=True, db_comment="Hexadecimal")
    manifest = models.JSONField(null=True, db_comment="See billing.exports.manifests; signed")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    started_at = models.DateTimeField(_("started at"), null=True)
    finished_at = models.DateTimeField(_("finished at"), null=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, db_comment="When its file is removed")

    objects: ClassVar[UsageExportQuerySet] = UsageExportQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["workspace", "-id"], name="usage_export_newest"),
            # What waits for a worker, or has lost it.
            models.Index(
                fields=["due_at"], condition=models.Q(due_at__isnull=False), name="usage_export_due"
            ),
            # Files whose time is over.
            models.Index(
                fields=["expires_at"], condition=models.Q(status="completed"), name="usage_export_expiring"
            ),
        ]
        db_table_comment = "Exports of the ledger; their files lie in the storage"

    def __str__(self) -> str:
        return f"{self.format} {self.created_at:%Y-%m-%d %H:%M}"
