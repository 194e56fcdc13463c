"""States of threads, as LangGraph saves them."""

from __future__ import annotations

from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.actor import Actor
from accounts.tenancy import TenantQuerySet
from agentplatform.lib.ids import uuid7
from runs.models.runs import Run


class CheckpointQuerySet(TenantQuerySet["Checkpoint"]):
    """Checkpoints belong to whoever the run belongs to; those of no run are nobody's."""

    def visible_to(self, actor: Actor) -> Self:
        rows = self.filter(run__workspace_id=actor.workspace_id)
        return rows if actor.may("read:all-runs") else rows.filter(run__user_id=actor.user_id)

    def automatic(self) -> Self:
        """Those that LangGraph has saved, and reads."""
        return self.filter(manual=False)

    def of_people(self) -> Self:
        """Those that people see: of the root graph, and without those of an input that is not in the state yet."""
        return self.filter(namespace="").exclude(metadata__contains={"source": "input"})


class Checkpoint(models.Model):
    """The full state of a thread after a superstep, as LangGraph saves it; large values are CheckpointBlobs.

    Not a foreign key to anything but its run: pending writes may come before their checkpoint. A person's own
    (`manual`) is a copy that only people see: LangGraph reads none of them, so it never becomes a thread's head.
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
    message_count = models.PositiveIntegerField(default=0, db_comment="Messages in the state", db_default=0)
    total_tokens = models.PositiveBigIntegerField(
        default=0, db_comment="What the run had used by then", db_default=0
    )
    manual = models.BooleanField(default=False, db_default=False)
    description = models.TextField(blank=True)
    tags = ArrayField(models.CharField(max_length=50), default=list, db_default=[])
    created_at = models.DateTimeField()

    objects: ClassVar[CheckpointQuerySet] = CheckpointQuerySet.as_manager()  # type: ignore[assignment]

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
