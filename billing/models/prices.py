"""Prices of models, and periods that were priced anew."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.db import models
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Workspace
from accounts.tenancy import TenantModel, TenantQuerySet


def _per_million(label: Any) -> models.DecimalField[Decimal | None, Decimal | None]:
    return models.DecimalField(label, max_digits=18, decimal_places=6, null=True, blank=True)


class PriceQuerySet(TenantQuerySet["Price"]):
    """Prices of workspaces."""

    def with_superseded(self) -> PriceQuerySet:
        """Annotates each with `is_superseded`: whether a newer version has taken its place."""
        same = ("workspace", "provider", "model", "valid_from", "is_imported")
        newer = Price.objects.filter(
            **{name: OuterRef(name) for name in same}, version__gt=OuterRef("version")
        )
        return self.annotate(is_superseded=Exists(newer))


class Price(TenantModel):
    """A price of a model in a workspace from a moment on: the workspace's own, or one imported from a list.

    Own prices go before imported ones, and those before the built-in list. Of the prices that are valid at a moment the
    one that began last counts; of several versions from the same moment only the newest. None is ever changed.
    """

    resource = "Price"
    audited = ("provider", "model")
    objects: ClassVar[PriceQuerySet] = PriceQuerySet.as_manager()  # type: ignore[assignment]

    workspace = models.ForeignKey(
        Workspace,
        on_delete=models.PROTECT,
        related_name="prices",
        db_index=False,
        verbose_name=_("workspace"),
    )
    provider = models.CharField(_("provider"), max_length=32)
    model = models.CharField(_("model"), max_length=200, db_comment="The provider's id of the model")
    input_per_million = models.DecimalField(_("input per million"), max_digits=18, decimal_places=6)
    cached_per_million = _per_million(_("cached per million"))
    cached_audio_per_million = _per_million(_("cached audio per million"))
    cache_write_per_million = _per_million(_("cache write per million"))
    input_audio_per_million = _per_million(_("input audio per million"))
    input_image_per_million = _per_million(_("input image per million"))
    output_per_million = models.DecimalField(_("output per million"), max_digits=18, decimal_places=6)
    reasoning_per_million = _per_million(_("reasoning per million"))
    output_audio_per_million = _per_million(_("output audio per million"))
    output_image_per_million = _per_million(_("output image per million"))
    per_request = models.DecimalField(
        _("per request"),
        max_digits=24,
        decimal_places=12,
        null=True,
        blank=True,
        help_text=_("Added to each call that took tokens."),
    )
    tiers = models.JSONField(
        _("tiers"),
        default=list,
        db_default=[],
        blank=True,
        db_comment='Prices of calls with more input tokens: [{"above": 200000, "input_per_million": "4"}]',
        help_text=_(
            'Prices of calls with a longer input, in ascending order: [{"above": 200000, "input_per_million": "4"}].'
        ),
    )
    valid_from = models.DateTimeField(
        _("valid from"),
        help_text=_(
            "May have passed: what is recorded already keeps its price until its period is repriced."
        ),
    )
    valid_until = models.DateTimeField(
        _("valid until"),
        null=True,
        blank=True,
        help_text=_("Empty: until another one begins. The moment of its beginning: it is never valid."),
    )
    version = models.PositiveSmallIntegerField(
        _("version"),
        default=1,
        db_default=1,
        editable=False,
        db_comment="Of the price from this moment; the newest counts",
    )
    is_imported = models.BooleanField(
        _("imported"), default=False, db_default=False, editable=False, db_comment="From a list; see `source`"
    )
    source = models.CharField(
        _("source"), max_length=64, default="workspace", db_default="workspace", editable=False
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        ordering = ["provider", "model", "-valid_from", "-version"]
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "provider", "model", "valid_from", "is_imported", "version"],
                name="price_version_once",
            )
        ]
        db_table_comment = "Prices of workspaces per million tokens: their own, and imported ones"

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} from {self.valid_from:%Y-%m-%d}"


class Repricing(TenantModel):
    """A period whose calls are priced anew, by the prices as they are known by then; see `billing.repricing`."""

    class Status(models.TextChoices):
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    resource = "Repricing"
    audited = ("provider", "model", "agent", "reason")

    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, related_name="+", db_index=False, verbose_name=_("workspace")
    )
    start = models.DateTimeField(_("start"))
    end = models.DateTimeField(_("end"), help_text=_("Not part of the period."))
    provider = models.CharField(_("provider"), max_length=32, blank=True)
    model = models.CharField(_("model"), max_length=200, blank=True)
    agent = models.CharField(_("agent"), max_length=100, blank=True, help_text=_("Its id, or its name then."))
    dry_run = models.BooleanField(
        _("dry run"), default=False, help_text=_("Only say what would change; nothing is written.")
    )
    reason = models.CharField(_("reason"), max_length=500)
    user_id = models.UUIDField(null=True, editable=False, db_comment="Who asked for it; null: a command")
    status = models.CharField(
        _("status"), max_length=8, choices=Status.choices, default=Status.QUEUED, editable=False
    )
    looked_at = models.BigIntegerField(_("calls looked at"), default=0, editable=False)
    changed = models.BigIntegerField(_("calls changed"), default=0, editable=False)
    unknown = models.BigIntegerField(
        _("calls without a price"), default=0, editable=False, db_comment="Stay as they are"
    )
    sums = models.JSONField(
        _("sums"),
        default=dict,
        editable=False,
        db_comment='By currency: {"USD": {"before": "1.5", "after": "1.2", "difference": "-0.3"}}',
    )
    error = models.CharField(_("error"), max_length=500, blank=True, editable=False)
    last_timestamp = models.DateTimeField(
        null=True, editable=False, db_comment="With last_id: how far it has come, in order of the ledger"
    )
    last_id = models.UUIDField(null=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated at"), default=timezone.now, editable=False)
    finished_at = models.DateTimeField(_("finished at"), null=True, editable=False)

    class Meta:
        verbose_name = _("repricing")
        verbose_name_plural = _("repricings")
        ordering = ["-id"]
        constraints = [
            # Two at once would each find the other's corrections.
            models.UniqueConstraint(
                fields=["workspace"],
                condition=models.Q(status__in=["queued", "running"]),
                name="repricing_one_at_a_time",
            )
        ]
        indexes = [models.Index(fields=["workspace", "-id"], name="repricing_newest")]
        db_table_comment = "Periods that were priced anew, and what came of it"

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d} to {self.end:%Y-%m-%d}"
