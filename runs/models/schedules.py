"""Runs that begin by the clock."""

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
from runs.models.sessions import Session


class ScheduleQuerySet(OwnedQuerySet):
    """Schedules belong to a user; whoever sees all runs sees all of them."""

    all_permission = "read:all-runs"


class Schedule(TenantModel):
    """What is run, and when: a cron expression of five fields on the clocks of a time zone.

    `input`, `config`, `limits`, `metadata`, `tags` and `priority` are those of its runs, which start as its owner's.
    Not `enabled`: it is paused, by a person or, with `pause_reason`, because its run could not be started.
    """

    class CatchUp(models.TextChoices):
        """What becomes of the moments that passed while no worker was there."""

        SKIP = "skip", _("Skip them")
        ONCE = "once", _("One run for all")
        ALL = "all", _("A run for each")

    resource = "Schedule"
    audited = ("name", "cron", "timezone", "config", "limits")

    name = models.CharField(_("name"), max_length=100)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        verbose_name=_("user"),
    )
    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, related_name="schedules", verbose_name=_("agent")
    )
    session = models.ForeignKey(
        Session,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="schedules",
        verbose_name=_("session"),
    )
    end_user = models.CharField(_("end user"), max_length=200, blank=True)
    input = models.JSONField(_("input"), db_comment="As Run.input")
    config = models.JSONField(_("config"), default=dict)
    limits = models.JSONField(_("limits"), default=dict)
    metadata = models.JSONField(_("metadata"), default=dict)
    tags = ArrayField(models.CharField(max_length=50), default=list, verbose_name=_("tags"))
    priority = models.SmallIntegerField(_("priority"), default=0)

    cron = models.CharField(_("cron expression"), max_length=100)
    timezone = models.CharField(_("time zone"), max_length=64, default="UTC")
    catch_up = models.CharField(_("catch up"), max_length=8, choices=CatchUp.choices, default=CatchUp.SKIP)
    enabled = models.BooleanField(_("enabled"), default=True)
    pause_reason = models.TextField(_("pause reason"), blank=True)
    next_run_at = models.DateTimeField(_("next run"), null=True, db_comment="Null while it is paused")
    last_run_at = models.DateTimeField(_("last run"), null=True)
    last_run_id = models.UUIDField(null=True, db_comment="No key: runs may go")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    objects: ClassVar[ScheduleQuerySet] = ScheduleQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="schedule_name_once")]
        indexes = [
            # What the sweep starts.
            models.Index(fields=["next_run_at"], name="schedule_due", condition=Q(enabled=True)),
        ]
        db_table_comment = "Runs that begin by the clock"

    def __str__(self) -> str:
        return self.name
