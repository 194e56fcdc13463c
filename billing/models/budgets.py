"""Budgets: what may be spent in a period, what was, what calls under way have set aside, and what has been told."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import User, Workspace
from accounts.tenancy import TenantModel


def _amount(**options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=24, decimal_places=12, **options)


def default_levels() -> list[int]:
    return [50, 80, 100]


class Budget(TenantModel):
    """What a workspace, or a part of what it does, may spend in each period.

    A part is whatever agrees with all that is named: agent, user, API key, provider and model; nothing named is the
    whole workspace. Agents, users and keys stand in it by id, as in the ledger.
    """

    class Period(models.TextChoices):
        HOUR = "hour", _("Hour")
        DAY = "day", _("Day")
        WEEK = "week", _("Week")
        MONTH = "month", _("Month")
        TOTAL = "total", _("Total")

    class Action(models.TextChoices):
        ALERT = "alert", _("Alert")
        BLOCK = "block", _("Block")
        PAUSE = "pause", _("Pause")

    resource = "Budget"
    audited = ("name", "provider", "model")

    workspace = models.ForeignKey(
        Workspace,
        on_delete=models.PROTECT,
        related_name="budgets",
        db_index=False,
        verbose_name=_("workspace"),
    )
    name = models.CharField(_("name"), max_length=100)
    agent_id = models.UUIDField(_("agent"), null=True, blank=True, db_comment="Null: any")
    user_id = models.UUIDField(_("user"), null=True, blank=True, db_comment="Null: any")
    api_key_id = models.UUIDField(_("API key"), null=True, blank=True, db_comment="Null: any")
    provider = models.CharField(_("provider"), max_length=32, blank=True, db_comment="Empty: any")
    model = models.CharField(
        _("model"), max_length=200, blank=True, db_comment="The provider's id of the model; empty: any"
    )
    period = models.CharField(_("period"), max_length=5, choices=Period.choices)
    limit_amount = _amount(verbose_name=_("limit (money)"), null=True, blank=True)
    limit_tokens = models.BigIntegerField(_("limit (tokens)"), null=True, blank=True)
    currency = models.CharField(
        _("currency"), max_length=3, editable=False, db_comment="The workspace's when it was made"
    )
    time_zone = models.CharField(
        max_length=64,
        editable=False,
        db_comment="In which its periods begin: the workspace's, which it follows within seconds",
    )
    warning_levels = ArrayField(
        models.PositiveSmallIntegerField(),
        verbose_name=_("warning levels"),
        default=default_levels,
        blank=True,
        db_comment="Percents of the limit",
    )
    action = models.CharField(_("action"), max_length=5, choices=Action.choices, default=Action.ALERT)
    recipients = ArrayField(
        models.EmailField(), verbose_name=_("recipients"), default=list, blank=True, db_comment="Of warnings"
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    uncounted_until = models.BigIntegerField(
        null=True,
        editable=False,
        db_comment="Null: what was spent before it was made is counted; else the transaction before which all have to "
        "end first, 0: it is not known yet",
    )
    created_by = models.ForeignKey(
        User,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        editable=False,
        verbose_name=_("created by"),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        ordering = ["name"]
        constraints = [
            # Also finds the budgets of a workspace.
            models.UniqueConstraint(fields=["workspace", "name"], name="budget_name_once"),
            models.CheckConstraint(
                condition=models.Q(limit_amount__gt=0) | models.Q(limit_tokens__gt=0), name="budget_has_limit"
            ),
        ]
        # Those that the ledger is to be summed up for.
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(uncounted_until__isnull=False), name="budget_uncounted"
            )
        ]
        db_table_comment = "What a workspace, or a part of what it does, may spend in a period"

    def __str__(self) -> str:
        return self.name


class BudgetPeriod(models.Model):
    """What was spent of a budget in one of its periods. A trigger counts each entry of the ledger as it is written."""

    pk = models.CompositePrimaryKey("budget_id", "period_start")
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="periods", db_index=False)
    period_start = models.DateTimeField(db_comment="1970 where the period is the whole time")
    period_end = models.DateTimeField(
        null=True, db_comment="By the clock of the place at that time; null: never"
    )
    spent_amount = _amount(default=0, db_default=0)
    spent_tokens = models.BigIntegerField(default=0, db_default=0)
    reserved_amount = _amount(default=0, db_default=0, db_comment="Sum of its reservations")
    reserved_tokens = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        ordering = ["-period_start"]
        db_table_comment = "What was spent of a budget in a period, and what calls under way have set aside"

    def __str__(self) -> str:
        return f"{self.budget_id} {self.period_start:%Y-%m-%d %H:%M}"


class BudgetReservation(models.Model):
    """What a model call that is under way may cost at most, set aside in a budget until the call is settled."""

    pk = models.CompositePrimaryKey("call_id", "budget_id")
    call_id = models.UUIDField(db_comment="As in the ledger")
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="reservations", db_index=False)
    period_start = models.DateTimeField()
    amount = _amount()
    tokens = models.BigIntegerField()

    class Meta:
        # The calls under way of one budget.
        indexes = [models.Index(fields=["budget", "period_start"], name="budget_reservation")]
        db_table_comment = (
            "What calls under way have set aside in budgets; a trigger removes it as they are settled"
        )

    def __str__(self) -> str:
        return f"{self.call_id} {self.amount}"


class BudgetNotice(models.Model):
    """A level of a budget was reached in a period, which is told once: by an event, by webhooks, by mail."""

    pk = models.CompositePrimaryKey("budget_id", "period_start", "level")
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="notices", db_index=False)
    period_start = models.DateTimeField()
    level = models.PositiveSmallIntegerField(db_comment="Percent; from 100 on it is exceeded")
    run_id = models.UUIDField(null=True, db_comment="The run whose call has reached it")
    spent_amount = _amount()
    spent_tokens = models.BigIntegerField()
    created_at = models.DateTimeField()
    in_run = models.BooleanField(db_default=False, default=False, db_comment="Its run has an event of it")
    told_at = models.DateTimeField(null=True, db_comment="When webhooks were told")
    mail_at = models.DateTimeField(null=True, db_comment="When a mail is due, or its job is taken for lost")

    class Meta:
        indexes = [
            # What is to be told.
            models.Index(
                fields=["created_at"], condition=models.Q(told_at=None), name="budget_notice_untold"
            ),
            models.Index(fields=["run_id"], condition=models.Q(in_run=False), name="budget_notice_of_run"),
            models.Index(
                fields=["mail_at"], condition=models.Q(mail_at__isnull=False), name="budget_notice_mail"
            ),
        ]
        db_table_comment = "Levels of budgets that were reached; each is told once in a period"

    def __str__(self) -> str:
        return f"{self.budget_id} {self.level} %"


class BudgetHold(models.Model):
    """A run that rests because a budget has no room; it goes on by itself when there is room again."""

    run_id = models.UUIDField(primary_key=True)
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="holds")
    needs_amount = _amount(db_comment="What its next call may cost")
    needs_tokens = models.BigIntegerField()
    since = models.DateTimeField()

    class Meta:
        db_table_comment = "Runs that rest until a budget has room again"

    def __str__(self) -> str:
        return str(self.run_id)
