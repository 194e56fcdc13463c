"""The processes that execute runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import BooleanField, Count, ExpressionWrapper, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from accounts.actor import Actor
from agentplatform.lib.ids import uuid7
from runs.models.runs import Run
from runs.models.states import UNDER_WAY


class WorkerQuerySet(models.QuerySet["Worker"]):
    """Workers. They serve all workspaces; what they have in hand is shown to each tenant for itself."""

    def alive(self) -> Self:
        """Those whose pulse has not stopped."""
        return self.filter(_is_alive())

    def visible_to(self, actor: Actor) -> Self:
        """All workers, with the runs of the actor's workspace in their hands."""
        return self.with_hands(Run.objects.filter(workspace_id=actor.workspace_id))

    def with_hands(self, runs: QuerySet[Any]) -> Self:
        """With `alive`, and in `running` how many of `runs` each has in hand."""
        in_hand = runs.filter(worker_id=OuterRef("pk"), status__in=UNDER_WAY).order_by().values("worker_id")
        return self.annotate(
            alive=ExpressionWrapper(_is_alive(), output_field=BooleanField()),
            running=Coalesce(Subquery(in_hand.annotate(count=Count("pk")).values("count")), 0),
        )


def _is_alive() -> Q:
    return Q(beat_at__gte=Now() - timedelta(seconds=settings.WORKER_LOST_AFTER_SECONDS))


class Worker(models.Model):
    """A process that executes runs. Its row goes when it stops well; a lapsed beat means that it was lost."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("pid"))
    concurrency = models.PositiveIntegerField(_("concurrency"))
    started_at = models.DateTimeField(_("started at"), auto_now_add=True)
    beat_at = models.DateTimeField(_("beat at"), db_comment="By the database's clock")
    draining = models.BooleanField(_("draining"), default=False)

    objects: ClassVar[WorkerQuerySet] = WorkerQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ["started_at"]
        db_table_comment = "Live worker processes"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
