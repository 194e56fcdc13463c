"""Runs: what each is asked, executes, has come to, and costs."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from agents.models import Agent, ChatModel, Version, Workflow
from runs.models.ownership import RunQuerySet, protect_while_active
from runs.models.states import ACTIVE, IN_FLIGHT, OF_NOTE, TERMINAL, Status
from runs.models.totals import FamilyTotals


class Relation(models.TextChoices):
    """What a run is to its parent."""

    RETRY = "retry", _("Retry")
    RESTORE = "restore", _("Restored")
    FORK = "fork", _("Fork")
    CHILD = "child", _("Child")


class Run(FamilyTotals, TenantModel):
    """One execution of an agent or of a workflow's version.

    `input` of an agent is `{"messages": [{"role", "content"}], "replaces"?}`, where a fork's messages may replace the
    `last_query` or `all` of those in the checkpoint that it starts from; of a workflow `{"values": {…}, "state"?}`,
    where a fork's `state` goes over the checkpoint's. `limits` are `{"timeout": s, "max_steps", "max_tokens",
    "max_cost"}`; `config` overrides the agent's for this run; `error` is `{"class", "message"}`. `attempt` fences: the
    journal writes only for the current one. `journal_position` is the last journal entry committed for it, so that
    a repeated flush is seen. Tokens and cost are the run's own; those of the runs that its tools have started are
    beside them (`child_…`).
    """

    resource = "Run"

    workspace = models.ForeignKey(
        "accounts.Workspace",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        verbose_name=_("workspace"),
    )
    status = models.CharField(_("status"), max_length=16, choices=Status.choices, default=Status.CREATED)
    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    last_seq = models.BigIntegerField(default=0)
    journal_position = models.BigIntegerField(default=0)

    agent = models.ForeignKey(
        Agent,
        null=True,
        on_delete=protect_while_active,
        related_name="runs",
        db_index=False,
        verbose_name=_("agent"),
    )
    model = models.ForeignKey(
        ChatModel, null=True, on_delete=protect_while_active, related_name="runs", db_index=False
    )
    agent_name = models.CharField(
        _("agent"), max_length=100, blank=True, db_comment="As it was called then; empty: it runs a workflow"
    )
    agent_version = models.ForeignKey(
        Version,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        verbose_name=_("agent version"),
    )
    workflow = models.ForeignKey(
        Workflow,
        null=True,
        on_delete=protect_while_active,
        related_name="runs",
        db_index=False,
        verbose_name=_("workflow"),
    )
    workflow_name = models.CharField(
        _("workflow"),
        max_length=100,
        blank=True,
        db_comment="The workflow that it runs or is a part of, as it was called then",
        default="",
        db_default="",
    )
    workflow_version = models.ForeignKey(
        Version,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        verbose_name=_("workflow version"),
    )
    pins = ArrayField(
        models.UUIDField(), default=list, db_comment="Versions of model, fallbacks and tools that it runs"
    )
    session = models.ForeignKey(
        "runs.Session",
        null=True,
        on_delete=protect_while_active,
        related_name="runs",
        db_index=False,
        verbose_name=_("session"),
    )
    previous = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="following",
        db_index=False,
        db_comment="The turn of its session that it follows; null for a first one",
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        verbose_name=_("user"),
    )
    username = models.CharField(max_length=150, blank=True, db_comment="Who started it, as called then")
    end_user = models.CharField(
        _("end user"), max_length=200, blank=True, db_comment="The client's own user, free text"
    )
    api_key_id = models.UUIDField(null=True)
    api_key_name = models.CharField(_("API key"), max_length=100, blank=True)
    parent = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="children", verbose_name=_("parent")
    )
    relation = models.CharField(
        _("relation"),
        max_length=8,
        choices=Relation.choices,
        blank=True,
        db_comment="What it is to its parent",
        default="",
        db_default="",
    )
    source_checkpoint = models.ForeignKey(
        "runs.Checkpoint",
        null=True,
        on_delete=models.SET_NULL,
        related_name="descendants",
        verbose_name=_("source checkpoint"),
    )
    description = models.TextField(
        _("description"), blank=True, db_comment="Why it was forked", default="", db_default=""
    )
    depth = models.PositiveSmallIntegerField(
        default=0, db_comment="How many runs it is nested in, as an agent called by an agent", db_default=0
    )
    has_children = models.BooleanField(
        default=False, db_comment="One of its tools has started a run", db_default=False
    )

    input = models.JSONField(_("input"), default=dict)
    input_query = models.TextField(blank=True, db_comment="The text of the last input message")
    response_content = models.TextField(blank=True)
    output = models.JSONField(
        _("output"), null=True, db_comment="What a workflow has come to; null where it is the response's text"
    )
    error = models.JSONField(null=True)
    config = models.JSONField(_("config"), default=dict)
    limits = models.JSONField(_("limits"), default=dict)
    overrides = models.JSONField(
        _("overrides"),
        default=dict,
        db_comment="A fork's {system_prompt?, model?, model_id?} over its agent's version",
        db_default={},
    )
    metadata = models.JSONField(_("metadata"), default=dict)
    tags = ArrayField(models.CharField(max_length=50), default=list, verbose_name=_("tags"))
    currency = models.CharField(max_length=3, default="USD")

    request_id = models.CharField(
        _("request id"),
        max_length=128,
        blank=True,
        default="",
        db_default="",
        db_comment="The request that started it, as its log lines name it",
    )
    traceparent = models.CharField(
        max_length=55,
        blank=True,
        default="",
        db_default="",
        db_comment="The span that started it (W3C), where traces are exported",
    )

    queue = models.CharField(max_length=64, default="runs")
    priority = models.SmallIntegerField(_("priority"), default=0)
    job_id = models.BigIntegerField(null=True, db_comment="The queue's job that will wake, or woke, a worker")
    worker_id = models.UUIDField(
        _("worker"), null=True, db_comment="The worker that has it in hand; workers come and go, so no key"
    )
    held_back = models.BooleanField(
        default=False,
        db_comment="Waits because its workspace has as many runs under way as it may have",
        db_default=False,
    )
    losses = models.PositiveSmallIntegerField(
        _("losses"), default=0, db_comment="How many workers it has lost"
    )

    total_steps = models.PositiveIntegerField(_("steps"), default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=24, decimal_places=12, default=0)
    unpriced_calls = models.PositiveIntegerField(default=0, db_comment="Model calls without a known price")
    child_input_tokens = models.PositiveBigIntegerField(
        default=0, db_comment="Of the runs that its tools have started", db_default=0
    )
    child_output_tokens = models.PositiveBigIntegerField(default=0, db_default=0)
    child_cost = models.DecimalField(max_digits=24, decimal_places=12, default=0, db_default=0)
    child_unpriced_calls = models.PositiveIntegerField(default=0, db_default=0)
    active_seconds = models.FloatField(
        default=0,
        db_comment="In workers' hands, without the attempt under way; what `limits.timeout` counts",
        db_default=0,
    )
    attempt_started_at = models.DateTimeField(null=True)

    pruned_to = models.PositiveIntegerField(
        null=True, db_comment="How many of its checkpoints were kept when it was last pruned"
    )
    events_removed_at = models.DateTimeField(
        null=True, db_comment="When its events were removed, all but the last; see RUN_EVENTS_KEPT_DAYS"
    )

    created_at = models.DateTimeField(_("created at"))
    queued_at = models.DateTimeField(_("queued at"), null=True)
    started_at = models.DateTimeField(_("started at"), null=True)
    finished_at = models.DateTimeField(_("finished at"), null=True)
    updated_at = models.DateTimeField()

    objects: ClassVar[RunQuerySet] = RunQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ["-id"]
        indexes = [
            # The list of a workspace's runs, newest first, and the same of one user.
            models.Index(fields=["workspace", "-id"], name="run_newest"),
            models.Index(fields=["user", "-id"], name="run_of_user"),
            models.Index(
                fields=["workspace", "end_user", "-id"], name="run_of_end_user", condition=~Q(end_user="")
            ),
            # The list filtered by agent, and by agent and status.
            models.Index(fields=["agent", "status", "-id"], name="run_of_agent"),
            models.Index(
                fields=["workflow", "status", "-id"],
                name="run_of_workflow",
                condition=Q(workflow__isnull=False),
            ),
            # The list of a workspace's runs of one status: of what neither ended well nor is in flight, so that no
            # run which goes well writes to it.
            models.Index(
                fields=["workspace", "status", "-id"],
                name="run_of_status",
                condition=Q(status__in=[*OF_NOTE]),
            ),
            # What a request has started, as its log lines name it.
            models.Index(fields=["request_id"], name="run_of_request", condition=~Q(request_id="")),
            # A session's history, and whose turn it is.
            models.Index(fields=["session", "id"], name="run_of_session", condition=Q(session__isnull=False)),
            models.Index(
                fields=["session", "id"],
                name="run_in_session",
                condition=Q(session__isnull=False, status__in=[*ACTIVE]),
            ),
            # The turns at one place of a conversation, and its first ones.
            models.Index(fields=["previous"], name="run_follows", condition=Q(previous__isnull=False)),
            models.Index(
                fields=["session"],
                name="run_begins_session",
                condition=Q(session__isnull=False, previous__isnull=True),
            ),
            # The sweep, the queue's depth, what may not be deleted.
            models.Index(
                fields=["status", "queued_at"], name="run_active", condition=Q(status__in=[*IN_FLIGHT])
            ),
            models.Index(fields=["worker_id"], name="run_in_hand", condition=Q(worker_id__isnull=False)),
            models.Index(fields=["model"], name="run_of_model", condition=~Q(status__in=[*TERMINAL])),
            # Whom the sweep may have to wake.
            models.Index(
                fields=["id"], name="run_waits_for_child", condition=Q(status="waiting", has_children=True)
            ),
            # Who is let in next where a workspace's runs are limited.
            models.Index(
                fields=["workspace", "-priority", "id"], name="run_held_back", condition=Q(held_back=True)
            ),
            # Whose checkpoints are pruned next.
            models.Index(
                fields=["workspace", "pruned_to"], name="run_to_prune", condition=Q(status__in=[*TERMINAL])
            ),
            # Whose events are removed next.
            models.Index(
                fields=["finished_at"],
                name="run_with_events",
                condition=Q(finished_at__isnull=False, events_removed_at__isnull=True),
            ),
        ]
        db_table_comment = "Executions of agents and workflows"

    def __str__(self) -> str:
        return f"{self.executes} {self.created_at:%Y-%m-%d %H:%M:%S}"

    @property
    def executes(self) -> str:
        """The name of the agent or the workflow that it executes, as it was called then."""
        return self.agent_name or self.workflow_name

    @property
    def is_workflow(self) -> bool:
        """Whether it executes a workflow, and not an agent."""
        return self.workflow_version_id is not None

    @property
    def is_branch(self) -> bool:
        """Whether its thread begins as a copy of another run's."""
        return self.relation in (Relation.FORK, Relation.RESTORE)

    @property
    def thread_id(self) -> str:
        """The LangGraph thread: the session, or the run itself where there is none. A workflow's state is its own."""
        return str(self.id if self.is_workflow else self.session_id or self.id)

    @property
    def duration(self) -> float:
        """Seconds from start to end, or to the last change while it has not ended."""
        if self.started_at is None:
            return 0.0
        return round(((self.finished_at or self.updated_at) - self.started_at).total_seconds(), 3)
