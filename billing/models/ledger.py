"""The append-only ledger of model calls, the names that it refers to, and its seals."""

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
from accounts.tenancy import TenantModel
from agentplatform.lib.hash_chain import Seal, Unsealed


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


def name_field(label: Any) -> models.ForeignKey[LedgerName | None, LedgerName | None]:
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
        """The opened entries of calls that are not settled: few, however long the ledger is."""
        # Says what the unique index says, because only then the index finds the settlement.
        settlement = UsageRecord.objects.settled().filter(call_id=OuterRef("call_id"), correction_of=None)
        known = OpenCall.objects.values("record_id")
        return self.filter(~Exists(settlement), entry=Entry.OPENED, id__in=known)


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
    user_name = name_field(_("user"))
    end_user_name = name_field(_("end user"))
    api_key_name = name_field(_("API key"))
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
                fields=["workspace", "api_key_name", "timestamp"],
                condition=models.Q(entry="settled", api_key_name__isnull=False),
                name="usage_of_api_key",
            ),
            models.Index(
                fields=["session_id", "timestamp"],
                condition=models.Q(entry="settled", session_id__isnull=False),
                name="usage_of_session",
            ),
            # The list of calls that ended otherwise than most.
            models.Index(
                fields=["workspace", "status", "-id"],
                condition=models.Q(entry="settled") & ~models.Q(status="ok"),
                name="usage_of_status",
            ),
        ]
        db_table_comment = "Append-only ledger of model calls; never updated, never deleted"

    # Of an opened entry on its way to the ledger, not stored there: what its call may take at most.
    most_tokens: int = 0
    most_cost: Decimal | None = None

    def __str__(self) -> str:
        return f"{self.model} {self.timestamp:%Y-%m-%d %H:%M:%S}"


class OpenCall(models.Model):
    """A call that is opened and not settled. A trigger of the ledger puts it here, and takes it away."""

    call_id = models.UUIDField(primary_key=True)
    record_id = models.UUIDField(db_comment="The entry that opened it")
    workspace_id = models.UUIDField()

    class Meta:
        db_table_comment = "Calls that are under way, or were left open by a process that ended"

    def __str__(self) -> str:
        return str(self.call_id)


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
