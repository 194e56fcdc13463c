"""What has ended, counted: what is to be counted next, and the sums by quarter of an hour and by day."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

EVERYBODY = uuid.UUID(int=0)
"""Whose figures those are that stand for all users together. Of `executed_id`: neither an agent nor a workflow."""
ALL_EXECUTED = uuid.UUID(int=(1 << 128) - 1)
"""All agents and workflows together, tests of models too; kept of all users together alone."""
QUARTER, DAY = 15, 1440
"""Minutes of a slot. Days are UTC's. All time zones in use are whole quarters of an hour away from it."""


class Kind(models.TextChoices):
    """What has ended."""

    RUN = "run", _("Run")
    STEP = "step", _("Step")
    MODEL_CALL = "model_call", _("Model call")
    TOOL_CALL = "tool_call", _("Tool call")


class Measured(models.Model):
    """Whose it was and what, without any content; sums of what each row counts.

    `subject` of a step is its type, of a model call `provider/model`, of a tool call the tool's name. `outcome` is how
    it ended: of runs their status, of model calls the ledger's, of tool calls `ok` or `failed`, of steps `ok`.
    """

    workspace_id: Any = models.UUIDField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    subject = models.CharField(max_length=300, blank=True)
    outcome = models.CharField(max_length=16)
    error_class = models.CharField(max_length=32, blank=True, db_comment="Of a failed run")
    microseconds = models.BigIntegerField(db_comment="Of those that have a duration")
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()

    class Meta:
        abstract = True


class Measurement(Measured):
    """Something that has ended and is not yet in the figures. Triggers put it here, `folding` takes it."""

    id = models.BigAutoField(primary_key=True)
    user_id = models.UUIDField(null=True)
    executed_id = models.UUIDField(null=True, db_comment="The agent or the workflow")
    ended_at = models.DateTimeField()
    count = models.SmallIntegerField(db_comment="1; -1 takes back, 0 adds tokens to what is counted already")
    bucket = models.SmallIntegerField(null=True, db_comment="Of the histogram; null: it has no duration")

    class Meta:
        db_table_comment = "What has ended and is not yet in the figures"

    def __str__(self) -> str:
        return f"{self.kind} {self.outcome}"


class Figures(Measured):
    """Sums of a slot of time: of all users together, and of each. They outlive what they count.

    Of a single user only runs are counted by quarter of an hour, and everything by day: most slots of a person hold one
    run, so the rest would be as many rows as there are calls.
    """

    pk = models.CompositePrimaryKey(
        "workspace_id",
        "user_id",
        "executed_id",
        "minutes",
        "kind",
        "slot",
        "subject",
        "outcome",
        "error_class",
    )
    user_id = models.UUIDField(db_comment="Zeros: all users together")
    minutes = models.SmallIntegerField(db_comment="How long the slot is: 15, or 1440 for a day (UTC)")
    slot = models.DateTimeField(db_comment="Its beginning")
    executed_id = models.UUIDField(
        db_comment="The agent or the workflow; zeros: none; all ones: all together"
    )
    count = models.BigIntegerField()
    timed = models.BigIntegerField(db_comment="How many of them have a duration")
    histogram = models.BinaryField(db_comment="Entries of bucket and count, 4 bytes each; a bucket may recur")

    class Meta:
        indexes = [
            # Those of all agents; the key finds those of one.
            models.Index(
                fields=["workspace_id", "user_id", "minutes", "kind", "slot"], name="figures_by_time"
            ),
            # What is too old to be kept, whosever it is.
            models.Index(fields=["minutes", "slot"], name="figures_by_age"),
        ]
        db_table_comment = (
            "How many runs, steps, model calls and tool calls ended in a slot of time, and how long they took"
        )

    def __str__(self) -> str:
        return f"{self.slot:%Y-%m-%d %H:%M} {self.kind} {self.outcome}"
