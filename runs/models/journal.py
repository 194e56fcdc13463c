"""What the journal writes of a run beside its row and its checkpoints: events, their large payloads, and steps."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from agentplatform.lib.ids import uuid7
from runs.events import EventType
from runs.models.runs import Run


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
    """One step of a run: an agent's model call or the tool calls that it asked for, or a node of a workflow.

    A `summary` is the model call that has shortened the conversation for those after it; it is no part of the answer.

    Nodes of a workflow that go side by side share their `step_num`.
    """

    class StepType(models.TextChoices):
        MODEL = "model", _("Model call")
        SUMMARY = "summary", _("Summary")
        TOOL = "tool", _("Tool calls")
        AGENT = "agent", _("Agent")
        HTTP = "http", _("HTTP request")
        CONDITION = "condition", _("Condition")
        PARALLEL = "parallel", _("Parallel branches")
        JOIN = "join", _("Join")
        LOOP = "loop", _("Loop")
        APPROVAL = "approval", _("Approval")
        TRANSFORM = "transform", _("Transform")
        WORKFLOW = "workflow", _("Workflow")
        END = "end", _("End")

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
