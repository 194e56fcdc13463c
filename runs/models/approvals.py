"""Where a run waits for a person, and what its tools have been called for."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.actor import Actor
from accounts.tenancy import TenantModel, TenantQuerySet
from agentplatform.lib.ids import uuid7
from runs.models.runs import Run


class ApprovalQuerySet(TenantQuerySet["Approval"]):
    """Approvals belong to whoever the run belongs to."""

    def visible_to(self, actor: Actor) -> ApprovalQuerySet:
        rows = super().visible_to(actor)
        return rows if actor.may("read:all-runs") else rows.filter(run__user_id=actor.user_id)


class Approval(TenantModel):
    """A tool call, or a node of a workflow, that waits for a person.

    `kind` says why: the tool requires an approval, a worker was lost while the call was under way and nobody knows
    whether it has had its effect, or the workflow asks at this node (`tool` is then the node's id). A run asks once
    for each `key`, however often its step is begun again. `arguments` are what the model asked for, `edited` what a
    person made of them. `result` is what a person says the call has answered, so that it need not be made.
    """

    class Kind(models.TextChoices):
        TOOL_CALL = "tool_call", _("Tool call")
        UNKNOWN_EFFECT = "unknown_effect", _("Unknown effect")
        NODE = "node", _("Workflow node")

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        APPROVED = "approved", _("Approved")
        EDITED = "edited", _("Edited")
        REJECTED = "rejected", _("Rejected")
        CANCELLED = "cancelled", _("Cancelled")

    # A person, or the deadline, has said what is to happen.
    DECIDED = (Status.APPROVED, Status.EDITED, Status.REJECTED)

    class Default(models.TextChoices):
        REJECT = "reject", _("Reject")
        APPROVE = "approve", _("Approve")

    resource = "Approval"

    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="approvals", db_index=False, verbose_name=_("run")
    )
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    status = models.CharField(_("status"), max_length=16, choices=Status.choices, default=Status.PENDING)
    key = models.CharField(
        max_length=300, db_comment="What it is about, the same in every attempt: kind, step, call"
    )
    step = models.PositiveIntegerField(default=0)
    tool = models.CharField(_("tool"), max_length=100)
    call_id = models.CharField(max_length=255)
    message = models.TextField(
        _("message"), blank=True, db_comment="What a workflow's node asks", default="", db_default=""
    )
    arguments = models.JSONField(_("arguments"), default=dict)
    edited = models.JSONField(_("edited arguments"), null=True)
    result = models.JSONField(null=True, db_comment="What the call is said to have answered, as {value}")
    reason = models.TextField(_("reason"), blank=True)
    deadline = models.DateTimeField(_("deadline"), null=True)
    default = models.CharField(
        _("at the deadline"), max_length=8, choices=Default.choices, default=Default.REJECT
    )
    decided_by = models.CharField(
        _("decided by"), max_length=150, blank=True, db_comment="As called then; empty: the deadline"
    )
    decided_by_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(_("created at"))
    decided_at = models.DateTimeField(_("decided at"), null=True)

    objects: ClassVar[ApprovalQuerySet] = ApprovalQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("approval")
        verbose_name_plural = _("approvals")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="approval_once")]
        indexes = [
            # The inbox, and what a deadline has passed.
            models.Index(fields=["workspace", "-id"], name="approval_newest"),
            models.Index(fields=["workspace", "status", "-id"], name="approval_by_status"),
            models.Index(fields=["deadline"], name="approval_due", condition=Q(status="pending")),
        ]
        db_table_comment = "Tool calls that wait, or have waited, for a person"

    def __str__(self) -> str:
        return f"{self.tool}: {self.get_status_display()}"


class ToolCall(models.Model):
    """The ledger of side effects: a tool call is claimed before it is made, and done with what it said.

    One that a lost worker has left claimed is made again only where its tool is idempotent; otherwise it is
    `unknown` until a person decides. `message` is `{"content", "artifact", "status"}` of the answer.
    """

    class Status(models.TextChoices):
        CLAIMED = "claimed", _("Claimed")
        DONE = "done", _("Done")
        UNKNOWN = "unknown", _("Unknown")

    id = models.UUIDField(
        primary_key=True, default=uuid7, editable=False, db_comment="Sent as Idempotency-Key"
    )
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tool_calls", db_index=False)
    step_num = models.PositiveIntegerField()
    call_id = models.CharField(max_length=255, db_comment="As the model named it")
    tool = models.CharField(max_length=100)
    attempt = models.PositiveIntegerField()
    status = models.CharField(max_length=8, choices=Status.choices)
    child_run_id = models.UUIDField(null=True, db_comment="The run that an agent as a tool executes")
    message = models.JSONField(null=True)
    claimed_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "step_num", "call_id"], name="tool_call_once")]
        db_table_comment = (
            "Ledger of tool calls: claimed before, done after, unknown where a worker was lost between"
        )

    def __str__(self) -> str:
        return f"{self.tool} {self.call_id}"
