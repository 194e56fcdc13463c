"""Memories: what clients send and are answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import NamedRelatedField, StrictModelSerializer, StrictSerializer
from agents.models import Agent
from runs.api.examples import RUN, Json
from runs.api.fields import EndUserField
from runs.models import Memory

MEMORY_OBJECT: Json = {
    "id": "01934d6e-b174-7c0d-9e3f-8091a2b3c4d5",
    "owner": "alice",
    "user_id": "",
    "agent": None,
    "content": "Prefers answers in short sentences.",
    "topic": "style",
    "namespace": ["memories"],
    "key": "01934d6e-b173-7a11-8c2d-7f8091a2b3c4",
    "value": {"content": "Prefers answers in short sentences.", "topic": "style"},
    "run_id": RUN,
    "created_at": "2026-11-26T10:30:00Z",
    "updated_at": "2026-11-26T10:30:00Z",
}


class MemorySerializer(StrictModelSerializer):
    """Something that agents remember of a user."""

    owner = serializers.CharField(source="user.username", read_only=True, help_text="Whose memory it is.")
    user_id = EndUserField(source="end_user")
    agent = NamedRelatedField(
        queryset=Agent.objects.all(),
        required=False,
        allow_null=True,
        help_text="Name or id of the agent that remembers it for itself. Null: all agents share it.",
    )
    content = serializers.CharField(max_length=4000, help_text="What is remembered; 4 KB with its topic.")
    topic = serializers.CharField(required=False, allow_blank=True, max_length=100)
    value = serializers.DictField(read_only=True, help_text="All of it, as an agent's graph has stored it.")
    run_id = serializers.UUIDField(read_only=True, allow_null=True, help_text="The run that has written it.")

    example = MEMORY_OBJECT

    class Meta:
        model = Memory
        fields = list(MEMORY_OBJECT)
        read_only_fields = ["id", "namespace", "key", "created_at", "updated_at"]

    def to_representation(self, instance: Memory) -> Json:
        return memory_json(instance)


class MemoryChangeSerializer(StrictSerializer):
    """What is to be remembered instead."""

    content = serializers.CharField(required=False, max_length=4000)
    topic = serializers.CharField(required=False, allow_blank=True, max_length=100)

    example = {"content": "Prefers long answers."}


class ClearQuerySerializer(StrictSerializer):
    """Which of one's own memories are deleted: all, or those of one end user."""

    user_id = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=200,
        help_text="Only those of this end user of yours; empty: only those of none.",
    )


class ClearedSerializer(StrictSerializer):
    """How many memories are gone."""

    deleted = serializers.IntegerField()

    example = {"deleted": 12}


def memory_json(memory: Memory) -> Json:
    agent: Any = memory.agent
    return {
        "id": str(memory.pk),
        "owner": memory.user.username,
        "user_id": memory.end_user,
        "agent": agent.name if agent else None,
        "content": memory.content,
        "topic": memory.topic,
        "namespace": memory.namespace,
        "key": memory.key,
        "value": memory.value,
        "run_id": memory.run_id,
        "created_at": memory.created_at,
        "updated_at": memory.updated_at,
    }
