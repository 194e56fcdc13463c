"""What happened: sessions, messages, runs, steps, events, checkpoints, and the workers that made them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import ProtectedError, Q
from django.utils.translation import gettext_lazy as _

from accounts.actor import Actor
from accounts.tenancy import TenantModel, TenantQuerySet
from agentplatform.lib.ids import uuid7
from agents.models import Agent, ChatModel, Version
from runs.events import EventType


class Status(models.TextChoices):
    """Where a run stands. Only `runs.lifecycle` changes it."""

    CREATED = "created", _("Created")
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    PAUSING = "pausing", _("Pausing")
    PAUSED = "paused", _("Paused")
    WAITING = "waiting", _("Waiting")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


TERMINAL = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
# In a worker's hands, or about to be.
IN_FLIGHT = (Status.QUEUED, Status.RUNNING, Status.PAUSING)
# Everything that has started and not ended: it holds its session, and what it refers to.
ACTIVE = (*IN_FLIGHT, Status.PAUSED, Status.WAITING)


class ErrorClass(models.TextChoices):
    """Why a run failed."""

    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_REJECTED = "provider_rejected"
    AUTHENTICATION = "authentication"
    TOOL_ERROR = "tool_error"
    MAX_STEPS = "max_steps"
    BUDGET_EXCEEDED = "budget_exceeded"
    INVALID_CONFIGURATION = "invalid_configuration"
    WORKER_LOST = "worker_lost"
    INTERNAL = "internal"


def protect_while_active(collector: Any, field: Any, runs: Any, using: str) -> None:
    """on_delete: refuses while one of the runs has not ended, otherwise lets go of the finished ones."""
    if active := list(runs.filter(status__in=(Status.CREATED, *ACTIVE))[:20]):
        raise ProtectedError("Runs that have not ended use it.", set(active))
    models.SET_NULL(collector, field, runs, using)


protect_while_active.lazy_sub_objs = True  # type: ignore[attr-defined]


class OwnedQuerySet(TenantQuerySet[Any]):
    """Rows that belong to a user: others see them only with the permission `all_permission`."""

    all_permission = ""

    def visible_to(self, actor: Actor) -> OwnedQuerySet:
        rows = super().visible_to(actor)
        return rows if actor.may(self.all_permission) else rows.filter(user_id=actor.user_id)


class SessionQuerySet(OwnedQuerySet):
    all_permission = "read:all-sessions"


class RunQuerySet(OwnedQuerySet):
    all_permission = "read:all-runs"


class Session(TenantModel):
    """A conversation. It is the LangGraph thread of its runs: its id is their `thread_id`."""

    resource = "Session"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("user"),
    )
    end_user = models.CharField(
        _("end user"), max_length=200, blank=True, db_comment="The client's own user, free text"
    )
    agent = models.ForeignKey(
        Agent,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="sessions",
        verbose_name=_("agent"),
    )
    title = models.CharField(_("name"), max_length=100, default="New session", db_column="name")
    named_by_person = models.BooleanField(
        default=False, db_comment="An automatic name never replaces a person's"
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    objects: ClassVar[SessionQuerySet] = SessionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["workspace", "-id"], name="session_newest"),
            models.Index(fields=["user", "-id"], name="session_of_user"),
        ]
        db_table_comment = "Conversations"

    def __str__(self) -> str:
        return self.title


class Worker(models.Model):
    """A process that executes runs. Its row goes when it stops well; a lapsed beat means that it was lost."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("pid"))
    concurrency = models.PositiveIntegerField(_("concurrency"))
    started_at = models.DateTimeField(_("started at"), auto_now_add=True)
    beat_at = models.DateTimeField(_("beat at"), db_comment="By the database's clock")
    draining = models.BooleanField(_("draining"), default=False)

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ["started_at"]
        db_table_comment = "Live worker processes"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Run(TenantModel):
    """One execution of an agent.

    `input` is `{"messages": [{"role", "content"}]}`; `limits` `{"timeout": s, "max_steps"}`; `config` overrides the
    agent's for this run; `error` `{"class", "message"}`. `attempt` fences: the journal writes only for the
    current one. `journal_position` is the last journal entry committed for it, so that a repeated flush is seen.
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
    agent_name = models.CharField(_("agent"), max_length=100, db_comment="As it was called then")
    agent_version = models.ForeignKey(
        Version,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        verbose_name=_("agent version"),
    )
    pins = ArrayField(
        models.UUIDField(), default=list, db_comment="Versions of model, fallbacks and tools that it runs"
    )
    session = models.ForeignKey(
        Session,
        null=True,
        on_delete=protect_while_active,
        related_name="runs",
        db_index=False,
        verbose_name=_("session"),
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

    input = models.JSONField(_("input"), default=dict)
    input_query = models.TextField(blank=True, db_comment="The text of the last input message")
    response_content = models.TextField(blank=True)
    error = models.JSONField(null=True)
    config = models.JSONField(_("config"), default=dict)
    limits = models.JSONField(_("limits"), default=dict)
    metadata = models.JSONField(_("metadata"), default=dict)
    tags = ArrayField(models.CharField(max_length=50), default=list, verbose_name=_("tags"))
    currency = models.CharField(max_length=3, default="USD")

    queue = models.CharField(max_length=64, default="runs")
    priority = models.SmallIntegerField(_("priority"), default=0)
    job_id = models.BigIntegerField(null=True, db_comment="The queue's job that will wake, or woke, a worker")
    worker_id = models.UUIDField(
        _("worker"), null=True, db_comment="The worker that has it in hand; workers come and go, so no key"
    )
    losses = models.PositiveSmallIntegerField(
        _("losses"), default=0, db_comment="How many workers it has lost"
    )

    total_steps = models.PositiveIntegerField(_("steps"), default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=24, decimal_places=12, default=0)
    unpriced_calls = models.PositiveIntegerField(default=0, db_comment="Model calls without a known price")

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
            # A session's history, and whose turn it is.
            models.Index(fields=["session", "id"], name="run_of_session", condition=Q(session__isnull=False)),
            # The sweep, the queue's depth, what may not be deleted.
            models.Index(
                fields=["status", "queued_at"], name="run_active", condition=Q(status__in=[*IN_FLIGHT])
            ),
            models.Index(fields=["worker_id"], name="run_in_hand", condition=Q(worker_id__isnull=False)),
            models.Index(fields=["model"], name="run_of_model", condition=~Q(status__in=[*TERMINAL])),
        ]
        db_table_comment = "Executions of agents"

    def __str__(self) -> str:
        return f"{self.agent_name} {self.id}"

    @property
    def thread_id(self) -> str:
        """The LangGraph thread: the session, or the run itself where there is none."""
        return str(self.session_id or self.id)

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def duration(self) -> float:
        """Seconds from start to end, or to the last change while it has not ended."""
        if self.started_at is None:
            return 0.0
        return round(((self.finished_at or self.updated_at) - self.started_at).total_seconds(), 3)


class RunEvent(models.Model):
    """One event of a run; `seq` counts 1, 2, 3 … without holes. Shapes of `data`: `runs.events`."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events", db_index=False)
    seq = models.BigIntegerField()
    attempt = models.PositiveIntegerField()
    step = models.PositiveIntegerField(default=0)
    node = models.CharField(max_length=100, blank=True)
    type = models.CharField(max_length=32, choices=EventType.choices)
    timestamp = models.DateTimeField()
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["seq"]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="event_seq_once")]
        db_table_comment = "Ordered events of runs"

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"


class RunPayload(models.Model):
    """A payload over 64 KB that an event refers to by `{"payload_id", "size", "preview"}`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="payloads")
    data = models.JSONField()

    class Meta:
        db_table_comment = "Large payloads of events"

    def __str__(self) -> str:
        return str(self.id)


class RunStep(models.Model):
    """One step of a run: a model call, or the tool calls that it asked for."""

    class StepType(models.TextChoices):
        MODEL = "model", "Model call"
        TOOL = "tool", "Tool calls"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps", db_index=False)
    step_num = models.PositiveIntegerField()
    node = models.CharField(max_length=100, blank=True)
    attempt = models.PositiveIntegerField()
    type = models.CharField(max_length=16, choices=StepType.choices)
    messages = models.JSONField(
        default=list, db_comment="What the step added: [{role, content, tool_calls?, …}]"
    )
    model_response = models.TextField(blank=True)
    metrics = models.JSONField(
        default=dict, db_comment="{duration (s), input_tokens, output_tokens, total_tokens, cost}"
    )
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()

    class Meta:
        ordering = ["step_num", "id"]
        constraints = [models.UniqueConstraint(fields=["run", "step_num", "node"], name="step_once")]
        db_table_comment = "Steps of runs"

    def __str__(self) -> str:
        return f"{self.step_num} {self.type}"


class Message(models.Model):
    """A message of a session, as people see the conversation."""

    resource = "Message"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="messages", db_index=False)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="messages")
    source = models.CharField(max_length=100, db_comment="user, or the agent's name")
    content = models.TextField(blank=True)
    type = models.CharField(max_length=32, default="text")
    thought = models.TextField(blank=True)
    models_usage = models.JSONField(null=True, db_comment="{input_tokens, output_tokens}")
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["session", "id"], name="message_of_session")]
        db_table_comment = "Messages of sessions"

    def __str__(self) -> str:
        return f"{self.source}: {self.content[:50]}"


class Checkpoint(models.Model):
    """The full state of a thread after a superstep, as LangGraph saves it; large values are CheckpointBlobs.

    Not a foreign key to anything but its run: pending writes may come before their checkpoint.
    """

    resource = "Checkpoint"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    thread_id = models.CharField(max_length=255, db_comment="Session id, or run id where there is no session")
    namespace = models.CharField(
        max_length=255, blank=True, db_comment="LangGraph's checkpoint_ns; empty: the root graph"
    )
    checkpoint_id = models.CharField(max_length=64, db_comment="LangGraph's id, ordered by time")
    parent_checkpoint_id = models.CharField(max_length=64, blank=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.CASCADE, related_name="checkpoints")
    step_num = models.PositiveIntegerField(default=0, db_comment="The run's step after which it was taken")
    checkpoint = models.JSONField()
    metadata = models.JSONField(default=dict)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-checkpoint_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["thread_id", "namespace", "checkpoint_id"], name="checkpoint_once"
            )
        ]
        db_table_comment = "States of threads, as LangGraph checkpoints"

    def __str__(self) -> str:
        return self.checkpoint_id


class CheckpointBlob(models.Model):
    """The value of one channel of a thread at one version, serialised by LangGraph's strict msgpack."""

    id = models.BigAutoField(primary_key=True)
    thread_id = models.CharField(max_length=255)
    namespace = models.CharField(max_length=255, blank=True)
    channel = models.CharField(max_length=255)
    version = models.CharField(max_length=64)
    type = models.CharField(max_length=32)
    blob = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["thread_id", "namespace", "channel", "version"], name="checkpoint_blob_once"
            )
        ]
        db_table_comment = "Channel values of checkpoints"

    def __str__(self) -> str:
        return f"{self.channel} {self.version}"


class CheckpointWrite(models.Model):
    """A write of a task that has finished inside a superstep that has not."""

    id = models.BigAutoField(primary_key=True)
    thread_id = models.CharField(max_length=255)
    namespace = models.CharField(max_length=255, blank=True)
    checkpoint_id = models.CharField(max_length=64)
    task_id = models.CharField(max_length=64)
    task_path = models.CharField(max_length=512, blank=True)
    index = models.IntegerField()
    channel = models.CharField(max_length=255)
    type = models.CharField(max_length=32)
    blob = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["thread_id", "namespace", "checkpoint_id", "task_id", "index"],
                name="checkpoint_write_once",
            )
        ]
        db_table_comment = "Pending writes of checkpoints"

    def __str__(self) -> str:
        return f"{self.channel} of {self.task_id}"


class IdempotencyKey(models.Model):
    """The run that a request with this key made, so that its repeat within LIFETIME returns the same."""

    LIFETIME = timedelta(hours=24)

    id = models.BigAutoField(primary_key=True)
    actor = models.CharField(max_length=64, db_comment="Actor.key")
    workspace = models.ForeignKey(
        "accounts.Workspace", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64, db_comment="SHA-256 of the request's body, hexadecimal")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "actor", "key"], name="idempotency_key_once")
        ]
        db_table_comment = "Idempotency keys of the last 24 hours"

    def __str__(self) -> str:
        return self.key
