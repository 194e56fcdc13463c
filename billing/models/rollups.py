"""Sums over the ledger: what they are of, and how much it was."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Workspace
from billing.models.ledger import Outcome, name_field


class UsageGroup(models.Model):
    """What rows of the roll-ups are of: one combination of values in one cut; see `billing.cuts`.

    Dimensions that the cut does not have are null or empty.
    """

    id = models.UUIDField(primary_key=True, editable=False, db_comment="A hash of all the rest")
    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, related_name="+", db_index=False, verbose_name=_("workspace")
    )
    cut = models.PositiveSmallIntegerField(db_comment="Which dimensions it has; see billing/cuts.py")
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=16, choices=Outcome.choices, db_default="", default="")
    agent_id = models.UUIDField(null=True)
    agent = models.CharField(max_length=100, db_default="", default="")
    provider = models.CharField(max_length=32, db_default="", default="")
    model = models.CharField(max_length=200, db_default="", default="")
    workflow_id = models.UUIDField(null=True)
    workflow = models.CharField(max_length=100, db_default="", default="")
    user_id = models.UUIDField(null=True)
    user_name = name_field(_("user"))
    api_key_id = models.UUIDField(null=True)
    api_key_name = name_field(_("API key"))
    tag = models.CharField(  # noqa: DJ001
        max_length=50, null=True, db_comment="Null: of calls without tags"
    )
    session_id = models.UUIDField(null=True)

    class Meta:
        indexes = [
            # Sessions are many, and always looked up by id.
            models.Index(
                fields=["workspace", "cut"],
                condition=models.Q(session_id__isnull=True),
                name="usage_group_of_cut",
            ),
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
            models.Index(
                fields=["workspace", "cut", "api_key_name"],
                condition=models.Q(api_key_name__isnull=False),
                name="usage_group_api_key_name",
            ),
        ]
        db_table_comment = "What rows of the roll-ups of usage are of"

    def __str__(self) -> str:
        return f"cut {self.cut}: {self.pk}"


class UsageSums(models.Model):
    """What groups used."""

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
        abstract = True


class UsageRollup(UsageSums):
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

    class Meta:
        indexes = [models.Index(fields=["workspace", "cut", "grain", "start"], name="usage_rollup_by_time")]
        db_table_comment = "Sums over the ledger; made from it, and can be made anew"

    def __str__(self) -> str:
        return f"{self.requests} from {self.start}"


class UsageLifetime(UsageSums):
    """Sums over all sealed, settled entries of a group: no period can have more of it; see `billing.rankings`."""

    group = models.OneToOneField(
        UsageGroup, on_delete=models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )
    workspace = models.ForeignKey(
        Workspace,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
        verbose_name=_("workspace"),
    )
    cut = models.PositiveSmallIntegerField(db_comment="The group's")
    first = models.DateTimeField(db_comment="When its first piece of the cut's finest grain begins")
    last = models.DateTimeField(db_comment="When its last piece of the cut's finest grain begins")

    class Meta:
        indexes = [
            models.Index(
                "workspace",
                "cut",
                models.F("cost").desc(nulls_last=True),
                name="usage_lifetime_by_cost",
            ),
            models.Index(
                "workspace",
                "cut",
                models.F("requests").desc(nulls_last=True),
                name="usage_lifetime_by_requests",
            ),
            models.Index(fields=["workspace", "cut", "last"], name="usage_lifetime_by_time"),
        ]
        db_table_comment = "Sums over all of the ledger; made from it, and can be made anew"

    def __str__(self) -> str:
        return f"{self.requests} since {self.first}"
