"""Schedules: what clients send to make them, and what they are answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import NamedRelatedField, StrictModelSerializer, StrictSerializer
from agents import validation
from agents.api.fields import AgentConfigSerializer, NameField
from agents.models import Agent
from runs.api.examples import RUN, Json
from runs.api.fields import (
    EndUserField,
    InputField,
    LimitsSerializer,
    MetadataField,
    SessionField,
    TextField,
)
from runs.api.serializers import MAX_TAGS
from runs.models import Schedule
from runs.schedules import editing

SCHEDULE = "01934d6e-a063-7b9c-8d2e-7f8091a2b3c4"
SCHEDULE_OBJECT: Json = {
    "id": SCHEDULE,
    "name": "morning-report",
    "agent_id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d60",
    "agent": "shop-assistant",
    "input": {"messages": [{"role": "user", "content": "Which orders came in yesterday?"}]},
    "session_id": None,
    "user_id": "",
    "config": {},
    "limits": {"max_cost": "0.5"},
    "metadata": {},
    "tags": ["report"],
    "priority": 0,
    "cron": "30 7 * * 1-5",
    "timezone": "Europe/Berlin",
    "catch_up": "once",
    "enabled": True,
    "paused": False,
    "pause_reason": "",
    "next_run_at": "2026-11-27T06:30:00Z",
    "last_run_at": "2026-11-26T06:30:00.041Z",
    "last_run_id": RUN,
    "owner": "alice",
    "created_at": "2026-11-21T10:30:00Z",
    "updated_at": "2026-11-26T06:30:00.041Z",
}


class ScheduleSerializer(StrictModelSerializer):
    """What is run, and when. `input` or `message`, one of them."""

    name = NameField()
    agent_id = NamedRelatedField(source="agent", queryset=Agent.objects.all(), help_text="Id or name.")
    agent = serializers.CharField(source="agent.name", read_only=True)
    input = InputField(required=False, help_text="A text, or messages of which the last is to be answered.")
    message = TextField(required=False, write_only=True, help_text="The same as `input` with a text.")
    session_id = SessionField()
    user_id = EndUserField(source="end_user")
    config = AgentConfigSerializer(default=dict, help_text="Goes over the agent's own.")
    limits = LimitsSerializer(default=dict)
    metadata = MetadataField(
        default=dict, help_text="Kept with each run, beside `schedule_id` and `scheduled_for`."
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=50), default=list, max_length=MAX_TAGS
    )
    priority = serializers.IntegerField(default=0, min_value=-100, max_value=100)
    cron = serializers.CharField(max_length=100, help_text="Minute, hour, day, month, weekday.")
    timezone = serializers.CharField(
        default="UTC", max_length=64, help_text="On whose clocks, as in Europe/Berlin."
    )
    catch_up = serializers.ChoiceField(
        choices=[(choice.value, choice.value) for choice in Schedule.CatchUp],
        default=Schedule.CatchUp.SKIP,
        help_text="What becomes of moments that passed while no worker was there: none of them has a run (`skip`), one "
        "run stands for all (`once`), or each has its own, the last hundred at most (`all`).",
    )
    enabled = serializers.BooleanField(default=True, help_text="False: it is paused.")
    paused = serializers.BooleanField(read_only=True)
    owner = serializers.CharField(read_only=True, help_text="As whom its runs start.")

    example = SCHEDULE_OBJECT

    class Meta:
        model = Schedule
        fields = [*SCHEDULE_OBJECT, "message"]
        read_only_fields = [
            *("id", "pause_reason", "next_run_at", "last_run_at", "last_run_id", "created_at", "updated_at"),
        ]

    def validate_name(self, value: str) -> str:
        validation.check_name(value)
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [name for name in ("input", "message") if name in attrs]
        if len(given) > 1 or not (given or self.partial):
            raise serializers.ValidationError({"input": "Send either input or message, one of the two."})
        if given:
            text = attrs.pop("message", None)
            messages = attrs.get("input") or [{"role": "user", "content": text}]
            attrs["input"] = {"messages": messages}
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Schedule:
        return editing.create(self.context["actor"], validated_data)

    def update(self, instance: Schedule, validated_data: dict[str, Any]) -> Schedule:
        return editing.change(self.context["actor"], instance, validated_data)

    def to_representation(self, instance: Schedule) -> Json:
        return schedule_json(instance)


class TriggeredSerializer(StrictSerializer):
    """The run that was started."""

    schedule_id = serializers.UUIDField()
    run_id = serializers.UUIDField()
    status = serializers.CharField()
    message = serializers.CharField()

    example = {
        "schedule_id": SCHEDULE,
        "run_id": RUN,
        "status": "queued",
        "message": "A run of the schedule is queued.",
    }


def schedule_json(schedule: Schedule) -> Json:
    """A schedule. Needs `agent` and `user` loaded."""
    return {
        "id": str(schedule.pk),
        "name": schedule.name,
        "agent_id": str(schedule.agent_id),
        "agent": schedule.agent.name,
        "input": schedule.input,
        "session_id": str(schedule.session_id) if schedule.session_id else None,
        "user_id": schedule.end_user,
        "config": schedule.config,
        "limits": schedule.limits,
        "metadata": schedule.metadata,
        "tags": schedule.tags,
        "priority": schedule.priority,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "catch_up": schedule.catch_up,
        "enabled": schedule.enabled,
        "paused": not schedule.enabled,
        "pause_reason": schedule.pause_reason,
        "next_run_at": schedule.next_run_at,
        "last_run_at": schedule.last_run_at,
        "last_run_id": str(schedule.last_run_id) if schedule.last_run_id else None,
        "owner": schedule.user.username if schedule.user else "",
        "created_at": schedule.created_at,
        "updated_at": schedule.updated_at,
    }
