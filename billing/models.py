"""The usage ledger, the price list and budgets."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.actor import Actor
from accounts.append_only import AppendOnlyModel, AppendOnlyQuerySet
from accounts.models import Workspace
from accounts.names import name_reference
from accounts.tenancy import TenantModel, TenantQuerySet
from agentplatform.lib.hash_chain import Seal, Unsealed
from billing.budget_models import Budget, BudgetHold, BudgetNotice, BudgetPeriod, BudgetReservation

__all__ = [
    "Budget",
    "BudgetHold",
    "BudgetNotice",
    "BudgetPeriod",
    "BudgetReservation",
    "Entry",
    "LedgerName",
    "LedgerSeal",
    "Outcome",
    "Price",
    "PriceQuerySet",
    "Repricing",
    "UnsealedUsage",
    "UsageExport",
    "UsageGroup",
    "UsageRecord",
    "UsageRollup",
    "sees_all_usage",
]


class Entry(models.TextChoices):
    """The two entries of a model call in the ledger."""

    OPENED = "opened", _("Opened")
    SETTLED = "settled", _("Settled")


class Outcome(models.TextChoices):
    """How a model call ended, as far as the ledger knows."""

    PENDING = "pending", _("Pending")
    OK = "ok", _("OK")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    UNKNOWN = "unknown", _("Unknown")
    CACHED = "cached", _("From the cache")


class LedgerName(TenantModel):
    """A name that entries of the ledger refer to, as it was at the time of the call; a pseudonym once it is erased."""

    class Kind(models.TextChoices):
        USER = "user", _("User")
        API_KEY = "api_key", _("API key")
        END_USER = "end_user", _("End user")

    resource = "LedgerName"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    user_id = models.UUIDField(
        db_comment="The user, or whose key or end user it is; zeros: nobody's. No key: the ledger outlives users"
    )
    name = models.CharField(max_length=200)
    erased_at = models.DateTimeField(null=True, db_comment="Since when it is a pseudonym")

    class Meta:
        verbose_name = _("name")
        verbose_name_plural = _("names")
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "kind", "user_id", "name"],
                condition=models.Q(erased_at=None),
                name="ledger_name_once",
            )
        ]
        indexes = [
            # Whether what is written now is of somebody who was erased.
            models.Index(
                fields=["workspace", "kind", "user_id"],
                condition=models.Q(erased_at__isnull=False),
                name="ledger_name_erased",
            )
        ]
        db_table_comment = "Names in the ledger, apart from it, because they can be erased and it cannot"

    def __str__(self) -> str:
        return self.name


def _name_field(label: Any) -> models.ForeignKey[LedgerName | None, LedgerName | None]:
    """A trigger sets it."""
    return name_reference(LedgerName, label)


def sees_all_usage(actor: Actor) -> bool:
    """Whether it is the whole workspace's usage that an actor sees; otherwise it is the own."""
    return actor.may("read:usage") or actor.may("export:usage")


class UsageQuerySet(AppendOnlyQuerySet[Any]):
    """Entries of the ledger."""

    def visible_to(self, actor: Actor) -> Self:
        rows = super().visible_to(actor)
        return rows if sees_all_usage(actor) else rows.filter(user_id=actor.user_id)

    def settled(self) -> UsageQuerySet:
        return self.filter(entry=Entry.SETTLED)

    def open_calls(self) -> UsageQuerySet:
        """The opened entries of calls that are not settled."""
        # Says what the unique index says, because only then the index finds the settlement.
        settlement = UsageRecord.objects.settled().filter(call_id=OuterRef("call_id"), correction_of=None)
        return self.filter(~Exists(settlement), entry=Entry.OPENED)


class UsageRecord(AppendOnlyModel):
    """One entry of the append-only ledger.

    A model call is opened before it is made (estimated tokens, `pending`) and settled after it by a
    second entry with the same `call_id`; totals and exports read settled entries. Runs and agents stand in it
    by id and by the name they had then, without foreign keys, so that the ledger outlives them. People and keys
    stand in it by id; `user`, `end_user` and `api_key` are what a new entry is given, and empty once it is
    written: a trigger puts the names into LedgerName, where they can be erased, and sets `user_name` and its like.
    `input_tokens` include cached ones, audio and images, `output_tokens` include reasoning and audio.

    Repricing appends two entries per call, as an accountant would book it: a reversal, which negates the entry named in
    `correction_of`, and a replacement with the new prices. Both have the `timestamp` and `call_id` of what they correct
    and the next `revision`, so that sums over any period are right whatever they are taken over.
    """

    resource = "UsageRecord"
    append_only = "The ledger is append-only: append an entry that corrects it by the difference."
    objects: ClassVar[UsageQuerySet] = UsageQuerySet.as_manager()  # type: ignore[assignment]

    workspace = models.ForeignKey(
        Workspace,
        on_delete=models.PROTECT,
        related_name="usage_records",
        db_index=False,
        verbose_name=_("workspace"),
    )
    timestamp = models.DateTimeField(
        _("timestamp"),
        db_comment="When the call was opened or settled; of a correction that of what it corrects",
    )
    recorded_at = models.DateTimeField(
        _("recorded at"), default=timezone.now, db_default=Now(), db_comment="When this entry was written"
    )
    entry = models.CharField(max_length=8, choices=Entry.choices)
    status = models.CharField(_("status"), max_length=16, choices=Outcome.choices)
    call_id = models.UUIDField(db_comment="The model call; shared by its opened and its settled entry")
    run_id = models.UUIDField(null=True, db_comment="Null: a test of a model, which is no run")
    attempt = models.PositiveIntegerField(default=1)
    step = models.PositiveIntegerField(default=0)
    session_id = models.UUIDField(null=True)
    agent_id = models.UUIDField(null=True)
    agent = models.CharField(_("agent"), max_length=100, blank=True)
    workflow_id = models.UUIDField(null=True)
    workflow = models.CharField(max_length=100, blank=True)
    tags = ArrayField(models.CharField(max_length=50), default=list, db_default=[], db_comment="Of the run")
    user_id = models.UUIDField(null=True)
    user = models.CharField(
        max_length=150, blank=True, editable=False, db_comment="Empty once written: see user_name"
    )
    end_user = models.CharField(
        max_length=200, blank=True, editable=False, db_comment="Empty once written: see end_user_name"
    )
    api_key_id = models.UUIDField(null=True)
    api_key = models.CharField(
        max_length=100, blank=True, editable=False, db_comment="Empty once written: see api_key_name"
    )
    user_name = _name_field(_("user"))
    end_user_name = _name_field(_("end user"))
    api_key_name = _name_field(_("API key"))
    provider = models.CharField(_("provider"), max_length=32)
    model = models.CharField(_("model"), max_length=200, db_comment="The provider's id of the model")
    input_tokens = models.BigIntegerField(_("input tokens"), default=0)
    cached_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(_("output tokens"), default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    input_audio_tokens = models.BigIntegerField(default=0, db_default=0)
    output_audio_tokens = models.BigIntegerField(default=0, db_default=0)
    input_image_tokens = models.BigIntegerField(default=0, db_default=0)
    output_image_tokens = models.BigIntegerField(default=0, db_default=0)
    requests = models.IntegerField(default=1)
    input_price = models.DecimalField(
        max_digits=24,
        decimal_places=12,
        null=True,
        db_comment="Per token, as priced then; null: no price known",
    )
    output_price = models.DecimalField(
        max_digits=24,
        decimal_places=12,
        null=True,
        db_comment="Per token, as priced then; null: no price known",
    )
    prices = models.JSONField(
        default=dict,
        db_default={},
        db_comment='Other prices of this call by what they are of, as decimal strings: {"cached": "0.000000075"}',
    )
    cost = models.DecimalField(
        _("cost"), max_digits=24, decimal_places=12, null=True, db_comment="Null: no price known"
    )
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    price_version = models.CharField(
        max_length=64, blank=True, db_comment="Which price list priced this entry"
    )
    correction_of = models.UUIDField(null=True, db_comment="The entry that this one reverses or replaces")
    revision = models.PositiveSmallIntegerField(
        default=1, db_default=1, db_comment="Of the call's price: 1 as settled, one more with each repricing"
    )
    is_reversal = models.BooleanField(
        default=False, db_default=False, db_comment="Negates `correction_of`: counts and cost are negative"
    )

    class Meta:
        verbose_name = _("usage record")
        verbose_name_plural = _("usage records")
        ordering = ["id"]
        constraints = [
            # Makes a repeated flush, and a settlement by both worker and sweep, harmless.
            models.UniqueConstraint(
                fields=["call_id", "entry"],
                condition=models.Q(correction_of=None),
                name="usage_entry_once_per_call",
            ),
            # Makes repricing a period twice at once, or again after it broke off, harmless.
            models.UniqueConstraint(
                fields=["call_id", "revision", "is_reversal"],
                condition=models.Q(correction_of__isnull=False),
                name="usage_revision_once",
            ),
        ]
        indexes = [
            # Totals and exports of a workspace over a time range, in order of time.
            models.Index(
                fields=["workspace", "timestamp", "id"],
                condition=models.Q(entry="settled"),
                name="usage_by_time",
            ),
            # The calls of a run, or of none: settling what a dead attempt or process left open.
            models.Index(fields=["run_id"], name="usage_of_run"),
            # What is not rolled up by user in so short pieces, or not with another dimension.
            models.Index(
                fields=["workspace", "user_id", "timestamp"],
                condition=models.Q(entry="settled"),
                name="usage_of_user",
            ),
            models.Index(
                fields=["session_id", "timestamp"],
                condition=models.Q(entry="settled", session_id__isnull=False),
                name="usage_of_session",
            ),
        ]
        db_table_comment = "Append-only ledger of model calls; never updated, never deleted"

    # Of an opened entry on its way to the ledger, not stored there: what its call may take at most.
    most_tokens: int = 0
    most_cost: Decimal | None = None

    def __str__(self) -> str:
        return f"{self.entry} {self.model} {self.input_tokens}+{self.output_tokens}"


class LedgerSeal(Seal):
    """The place of an entry in the hash chain of its workspace's ledger; see `billing.sealing`."""

    pk = models.CompositePrimaryKey("workspace_id", "position")
    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, related_name="+", db_index=False, verbose_name=_("workspace")
    )

    class Meta:
        db_table_comment = "Hash chain over the ledger; never updated, never deleted"


class UnsealedUsage(Unsealed):
    """An entry of the ledger that is committed and not sealed yet, nor part of what follows the seals."""

    class Meta:
        db_table_comment = "Entries of the ledger that wait for their place in the chain"


class UsageGroup(models.Model):
    """What rows of the roll-ups are of: one combination of values in one cut; see `billing.cuts`.

    Dimensions that the cut does not have are null or empty.
    """

    id = models.UUIDField(primary_key=True, editable=False, db_comment="A hash of all the rest")
    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, related_name="+", db_index=False, verbose_name=_("workspace")
    )
    cut = models.PositiveSmallIntegerField(db_comment="Which dimensions it has; see billing/cuts.py")
    status = models.CharField(max_length=16, choices=Outcome.choices)
    currency = models.CharField(max_length=3)
    agent_id = models.UUIDField(null=True)
    agent = models.CharField(max_length=100, db_default="", default="")
    provider = models.CharField(max_length=32, db_default="", default="")
    model = models.CharField(max_length=200, db_default="", default="")
    workflow_id = models.UUIDField(null=True)
    workflow = models.CharField(max_length=100, db_default="", default="")
    user_id = models.UUIDField(null=True)
    user_name = _name_field(_("user"))
    api_key_id = models.UUIDField(null=True)
    api_key_name = _name_field(_("API key"))
    tag = models.CharField(  # noqa: DJ001
        max_length=50, null=True, db_comment="Null: of calls without tags"
    )
    session_id = models.UUIDField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["workspace", "cut", "agent"], condition=~models.Q(agent=""), name="usage_group_agent"
            ),
            models.Index(
                fields=["workspace", "cut", "agent_id"],
                condition=models.Q(agent_id__isnull=False),
                name="usage_group_agent_id",
            ),
            models.Index(
                fields=["workspace", "cut", "user_id"],
                condition=models.Q(user_id__isnull=False),
                name="usage_group_user",
            ),
            models.Index(
                fields=["workspace", "cut", "api_key_id"],
                condition=models.Q(api_key_id__isnull=False),
                name="usage_group_api_key",
            ),
        ]
        db_table_comment = "What rows of the roll-ups of usage are of"

    def __str__(self) -> str:
        return f"cut {self.cut}: {self.pk}"


class UsageRollup(models.Model):
    """Sums over the sealed, settled entries of a group in a piece of time; see `billing.rollups`."""

    pk = models.CompositePrimaryKey("group_id", "grain", "start")
    group = models.ForeignKey(
        UsageGroup, on_delete=models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )
    grain = models.PositiveSmallIntegerField(db_comment="How long the piece is; see billing/grains.py")
    start = models.DateTimeField(db_comment="When the piece begins")
    workspace = models.ForeignKey(
        Workspace,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
        verbose_name=_("workspace"),
    )
    cut = models.PositiveSmallIntegerField(db_comment="The group's")
    requests = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    cache_write_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField()
    unpriced_requests = models.BigIntegerField()
    cost = models.DecimalField(
        max_digits=36, decimal_places=12, null=True, db_comment="Null: nothing in it is priced"
    )

    class Meta:
        indexes = [models.Index(fields=["workspace", "cut", "grain", "start"], name="usage_rollup_by_time")]
        db_table_comment = "Sums over the ledger; made from it, and can be made anew"

    def __str__(self) -> str:
        return f"{self.requests} from {self.start}"


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
