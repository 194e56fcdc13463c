"""What a new run does otherwise than the one that it comes from, and the messages of a state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import NamedRelatedField, StrictSerializer
from agents.api.fields import AgentConfigSerializer
from agents.models import ChatModel
from runs.api.fields import MAX_MESSAGE, MAX_MESSAGES, TextField

MAX_PROMPT = 100_000
MAX_CALLS = 200
STATE_ROLES = ["user", "assistant", "system", "tool"]
ANSWER_STATUSES = ["success", "error"]
Json = dict[str, Any]

# Beside role and content.
FIELDS_BY_ROLE: dict[str, set[str]] = {
    "user": set(),
    "system": set(),
    "assistant": {"thought", "tool_calls"},
    "tool": {"tool_call_id", "name", "status"},
}


class ToolCallSerializer(StrictSerializer):
    id = serializers.CharField(max_length=255)
    name = serializers.CharField(max_length=100)
    args = serializers.DictField(default=dict)


class StateMessageSerializer(StrictSerializer):
    """A message as it stands in a state."""

    role = serializers.ChoiceField(choices=STATE_ROLES)
    content = serializers.CharField(
        max_length=MAX_MESSAGE,
        allow_blank=True,
        trim_whitespace=False,
        help_text="Blank where tools are called.",
    )
    thought = serializers.CharField(
        required=False, max_length=MAX_MESSAGE, trim_whitespace=False, help_text="The model's reasoning."
    )
    tool_calls = ToolCallSerializer(  # type: ignore[call-arg]
        required=False, many=True, max_length=MAX_CALLS, help_text="What an assistant asks tools for."
    )
    tool_call_id = serializers.CharField(
        required=False, max_length=255, help_text="Of a tool's answer: the call that it answers."
    )
    name = serializers.CharField(
        required=False, allow_null=True, max_length=100, help_text="The tool's name."
    )
    status = serializers.ChoiceField(required=False, choices=ANSWER_STATUSES)

    def validate(self, attrs: Json) -> Json:
        role, faults = attrs["role"], {}
        for name in attrs.keys() - {"role", "content"} - FIELDS_BY_ROLE[role]:
            faults[name] = f"A message of the role {role!r} has no such field."
        if role == "tool" and not attrs.get("tool_call_id"):
            faults["tool_call_id"] = "Say which call the tool answers."
        if not attrs["content"].strip() and role != "tool" and not attrs.get("tool_calls"):
            faults["content"] = "This may be blank only where tools are called."
        if faults:
            raise serializers.ValidationError(faults)
        return attrs


class ModificationsSerializer(StrictSerializer):
    """The fields of `runs.history.branches.Modifications`. What is left out stays as it was in the source."""

    modified_query = TextField(
        required=False, help_text="Replaces the last message of the user; what came after it is dropped."
    )
    messages = StateMessageSerializer(  # type: ignore[call-arg]
        required=False,
        many=True,
        allow_empty=False,
        max_length=MAX_MESSAGES,
        help_text="Replace all messages, in the shapes in which a checkpoint shows them.",
    )
    system_prompt = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False, max_length=MAX_PROMPT
    )
    model = NamedRelatedField(
        queryset=ChatModel.objects.filter(purpose=ChatModel.Purpose.CHAT),
        required=False,
        help_text="Id or name. It is used as it is now.",
    )
    config = AgentConfigSerializer(required=False, help_text="Goes over the source's own.")
    state = serializers.DictField(
        required=False, help_text="Of a workflow: fields that take the place of those in the state."
    )

    def validate_messages(self, value: list[Json]) -> list[Json]:
        if value[-1]["role"] not in ("user", "tool"):
            raise serializers.ValidationError(
                "The last message is the one to go on from; its role must be 'user' or 'tool'."
            )
        if fault := call_fault(value):
            raise serializers.ValidationError(fault)
        return [dict(message) for message in value]

    def validate(self, attrs: Json) -> Json:
        if "messages" in attrs and "modified_query" in attrs:
            message = "Send either modified_query or messages, one of the two."
            raise serializers.ValidationError({"modified_query": message})
        return attrs


def call_fault(messages: Sequence[Json]) -> str:
    """What is wrong with tool calls and their answers, which model endpoints want side by side; empty: nothing."""
    asked: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in asked:
                return f"Nobody has asked for the call {message['tool_call_id']!r} right before its answer."
            asked.remove(message["tool_call_id"])
        elif asked:
            break
        else:
            asked = {call["id"] for call in message.get("tool_calls", ())}
    return f"There is no answer of a tool right after the call {min(asked)!r}." if asked else ""
