"""Workers and the queue: what clients send and are answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import StrictModelSerializer, StrictSerializer
from runs.api.examples import RUN
from runs.api.fields import IdField
from runs.models import Worker
from runs.queueing.stuck import MOST_AT_ONCE

WORKER = {
    "id": "01934d6e-be60-7096-92b1-6dce5f708192",
    "host": "worker-1",
    "pid": 4711,
    "concurrency": 200,
    "started_at": "2026-11-21T08:00:00Z",
    "beat_at": "2026-11-21T10:30:00Z",
    "draining": False,
    "alive": True,
    "running": 3,
}
QUEUE: dict[str, Any] = {
    "depth": 3,
    "oldest_wait_seconds": 1.25,
    "running": 8,
    "held_back": 2,
    "behind_in_session": 1,
    "limit": 8,
    "queues": [
        {
            "queue": "runs",
            "depth": 3,
            "oldest_wait_seconds": 1.25,
            "by_priority": [{"priority": 5, "depth": 1}, {"priority": 0, "depth": 2}],
        }
    ],
}


class WorkerSerializer(StrictModelSerializer):
    """A process that executes runs of all workspaces."""

    alive = serializers.BooleanField(help_text="Whether its pulse is of the last seconds.")
    running = serializers.IntegerField(help_text="Runs of this workspace that it has in hand.")

    example = WORKER

    class Meta:
        model = Worker
        fields = list(WORKER)
        read_only_fields = fields


class PriorityDepthSerializer(StrictSerializer):
    priority = serializers.IntegerField(help_text="The higher, the sooner.")
    depth = serializers.IntegerField()


class DepthSerializer(StrictSerializer):
    """How many runs wait, and for how long."""

    depth = serializers.IntegerField(
        help_text="Runs that wait for a worker, or for room among the workspace's runs."
    )
    oldest_wait_seconds = serializers.FloatField(
        allow_null=True, help_text="How long the first of them has waited; null: none waits."
    )


class NamedQueueSerializer(DepthSerializer):
    queue = serializers.CharField()
    by_priority = PriorityDepthSerializer(many=True, help_text="The most urgent first.")


class QueueSerializer(DepthSerializer):
    """What of the workspace waits, and what is under way."""

    running = serializers.IntegerField(help_text="Runs in workers' hands.")
    held_back = serializers.IntegerField(
        help_text="Of `depth`: those that wait because `limit` runs are under way."
    )
    behind_in_session = serializers.IntegerField(
        help_text="Beside `depth`: runs that wait for another run of their session."
    )
    limit = serializers.IntegerField(
        allow_null=True,
        help_text="How many of the workspace's runs may be under way at once; null: any number.",
    )
    queues = NamedQueueSerializer(many=True)

    example = QUEUE


class RequeueSerializer(StrictSerializer):
    run_ids = serializers.ListField(
        child=IdField(),
        required=False,
        allow_empty=False,
        max_length=MOST_AT_ONCE,
        help_text=f"Without them: all that are stuck, at most {MOST_AT_ONCE}.",
    )

    example = {"run_ids": [RUN]}


class LeftSerializer(StrictSerializer):
    run_id = serializers.UUIDField()
    status = serializers.CharField()
    reason = serializers.CharField()


class RequeuedSerializer(StrictSerializer):
    """What has become of each run."""

    requeued = serializers.ListField(child=serializers.UUIDField(), help_text="A worker takes them up.")
    left = LeftSerializer(many=True, help_text="As they are, or no better for it.")

    example = {
        "requeued": [RUN],
        "left": [
            {
                "run_id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d61",
                "status": "running",
                "reason": "A live worker has it in hand.",
            }
        ],
    }
