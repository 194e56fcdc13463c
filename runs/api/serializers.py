"""Runs: what clients send to start them, and what they are answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import StrictModelSerializer, StrictSerializer
from agents.api.fields import AgentConfigSerializer
from runs.api.examples import APPROVAL, EVENT, RUN, RUN_ITEM, WHOLE_RUN
from runs.api.fields import (
    AgentField,
    AnyInputField,
    EndUserField,
    InputField,
    LimitsSerializer,
    MetadataField,
    SessionField,
    StrategyField,
    TextField,
    WorkflowInputField,
)
from runs.api.representations import run_item_json
from runs.commands import RunRequest
from runs.models import Run, RunStep

MAX_TAGS = 20


_agent_input, _workflow_input = InputField(), WorkflowInputField()


class WishesSerializer(StrictSerializer):
    """What every run may be asked with, whatever it executes."""

    message = TextField(required=False, help_text="The same as `input` with a text.")
    session_id = SessionField()
    user_id = EndUserField()
    config = AgentConfigSerializer(default=dict, help_text="Goes over the agent's own, for this run.")
    metadata = MetadataField(default=dict, help_text="Any JSON object, kept with the run.")
    tags = serializers.ListField(
        child=serializers.CharField(max_length=50), default=list, max_length=MAX_TAGS
    )
    priority = serializers.IntegerField(
        default=0, min_value=-100, max_value=100, help_text="Higher ones go first."
    )
    limits = LimitsSerializer(default=dict)
    multitask_strategy = StrategyField()
    start = serializers.BooleanField(
        default=True, help_text="False: the run is `created` and waits for /start."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("input" in attrs) == ("message" in attrs):
            raise serializers.ValidationError({"input": "Send either input or message, one of the two."})
        return attrs


class RunRequestSerializer(WishesSerializer):
    """What is to be run: an agent or a workflow. `input` or `message`, one of them."""

    agent_id = AgentField()
    workflow_id = serializers.CharField(
        required=False,
        allow_null=True,
        max_length=100,
        help_text="Id or name of a workflow that is to run in its published version, in the place of an agent.",
    )
    input = AnyInputField(
        required=False,
        help_text="A text, or messages of which the last is to be answered; of a workflow the object that its schema "
        "describes.",
    )

    example = {
        "agent_id": "shop-assistant",
        "input": "What is 17 * 23?",
        "user_id": "customer-81",
        "limits": {"timeout": 60},
        "tags": ["checkout"],
    }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        super().validate(attrs)
        if attrs.get("workflow_id") and attrs.get("agent_id"):
            raise serializers.ValidationError(
                {"workflow_id": "Send either agent_id or workflow_id, one of the two."}
            )
        if "input" in attrs:
            read = _workflow_input if attrs.get("workflow_id") else _agent_input
            try:
                attrs["input"] = read.run_validation(attrs["input"])
            except serializers.ValidationError as error:
                raise serializers.ValidationError({"input": error.detail}) from error
        return attrs


class WorkflowRunSerializer(WishesSerializer):
    """What a workflow is run with. `input` or `message`, one of them."""

    input = WorkflowInputField(required=False, help_text="The object that the workflow's input describes.")
    version = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2_147_483_647,
        help_text="Default: the published one. Another needs `write:workflow`.",
    )

    example = {"input": {"message": "My parcel is late."}, "tags": ["support"]}


def run_request(values: dict[str, Any]) -> RunRequest:
    """The request that values of RunRequestSerializer, ChatSerializer or the like describe."""
    return RunRequest(
        **_executed(values),
        session_id=values.get("session_id"),
        end_user=values.get("user_id") or "",
        config=values.get("config", {}),
        limits=values.get("limits", {}),
        metadata=values.get("metadata", {}),
        tags=tuple(dict.fromkeys(values.get("tags", ()))),
        priority=values.get("priority", 0),
        start=values.get("start", True),
        multitask_strategy=values.get("multitask_strategy"),
    )


def _executed(values: dict[str, Any]) -> dict[str, Any]:
    """The agent with messages, or the workflow with its input."""
    if workflow := values.get("workflow_id"):
        given = values["input"] if "input" in values else {"message": values["message"]}
        return {"workflow": workflow, "values": given, "version": values.get("version")}
    messages = values.get("input") or [{"role": "user", "content": values["message"]}]
    return {"messages": messages, "agent": values.get("agent_id") or ""}


class ChatSerializer(StrictSerializer):
    """A message to an agent."""

    agent_id = AgentField()
    message = TextField()
    user_id = EndUserField()
    session_id = SessionField()
    multitask_strategy = StrategyField()
    stream = serializers.BooleanField(
        default=True, help_text="False: one JSON answer when the run has ended."
    )

    example = {
        "agent_id": "shop-assistant",
        "message": "What is 17 * 23?",
        "user_id": "customer-81",
        "stream": False,
    }


class ChatMetricsSerializer(StrictSerializer):
    total_tokens = serializers.IntegerField()
    duration = serializers.FloatField(help_text="Seconds.")


class ChatRestSerializer(StrictSerializer):
    """A chat whose run rests: it goes on once somebody has decided, or has resumed it."""

    run_id = serializers.UUIDField()
    status = serializers.CharField(help_text="waiting, or paused.")
    approval_ids = serializers.ListField(
        child=serializers.UUIDField(), required=False, help_text="`waiting`: what a person has to decide."
    )
    reason = serializers.CharField(required=False, help_text="`paused`: budget_exceeded, where it is that.")

    example = {"run_id": RUN, "status": "waiting", "approval_ids": [APPROVAL]}


class ChatAnswerSerializer(StrictSerializer):
    """The answer of a chat that is not streamed."""

    run_id = serializers.UUIDField()
    response = serializers.CharField()
    metrics = ChatMetricsSerializer()

    example = {
        "run_id": RUN,
        "response": "17 * 23 is 391.",
        "metrics": {"total_tokens": 184, "duration": 1.42},
    }


class ChildMetricsSerializer(StrictSerializer):
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost = serializers.CharField(allow_null=True)


class RunMetricsSerializer(ChatMetricsSerializer):
    """Of the run and of the runs that its tools have started."""

    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    total_steps = serializers.IntegerField()
    cost = serializers.CharField(
        allow_null=True, help_text="A decimal; null while one of its calls has no price."
    )
    currency = serializers.CharField()
    children = ChildMetricsSerializer(
        allow_null=True, help_text="The part of the runs that its tools have started; null: there are none."
    )


class RunErrorSerializer(StrictSerializer):
    # `class` is a word of the language, so the field is made where it cannot be written.
    message = serializers.CharField()

    def get_fields(self) -> dict[str, Any]:
        named = serializers.CharField(help_text="timeout, rate_limited, provider_unavailable, max_steps …")
        return {"class": named, **super().get_fields()}


class RunItemSerializer(StrictModelSerializer):
    """A run in a list."""

    agent = serializers.CharField(
        source="agent_name", help_text="The agent's name when the run was made; empty: a workflow's run."
    )
    workflow = serializers.CharField(
        source="workflow_name", help_text="The workflow that it runs or is a part of, as it was called then."
    )
    user_id = serializers.CharField(source="end_user", help_text="The client's own end user.")
    relation = serializers.CharField(help_text="What it is to its parent: fork, restore, retry, child.")
    source_checkpoint_id = serializers.UUIDField(
        allow_null=True, help_text="The checkpoint of its parent that it goes on from."
    )
    description = serializers.CharField(help_text="Why it was forked.")
    error = RunErrorSerializer(allow_null=True)
    metrics = RunMetricsSerializer()
    started_by = serializers.CharField(source="username", help_text="Who started it, as called then.")
    api_key = serializers.CharField(source="api_key_name", help_text="The API key that it was started with.")
    input_query = serializers.CharField(help_text="The first 200 characters of what is to be answered.")

    example = RUN_ITEM

    class Meta:
        model = Run
        fields = list(RUN_ITEM)
        read_only_fields = fields

    def to_representation(self, instance: Run) -> dict[str, Any]:
        return run_item_json(instance)


class StepSerializer(StrictModelSerializer):
    messages = serializers.ListField(
        child=serializers.DictField(), help_text="What the step added: [{role, content, tool_calls?, …}]"
    )
    metrics = serializers.DictField(help_text="duration (seconds) and, of model calls, tokens.")

    class Meta:
        model = RunStep
        fields = list(WHOLE_RUN["steps"][0])


class RunSerializer(RunItemSerializer):
    """A run, as `representations.run_json` writes it."""

    agent_version = serializers.IntegerField(source="agent_version.number", allow_null=True)
    workflow_version = serializers.IntegerField(source="workflow_version.number", allow_null=True)
    output = serializers.JSONField(help_text="What a workflow has come to, where that is no text.")
    input_query = serializers.CharField(help_text="The text of the last input message.")
    input = serializers.DictField(help_text='{"messages": [{"role", "content"}]}; of a workflow {"values"}.')
    steps = StepSerializer(many=True, help_text="The last hundred; metrics.total_steps counts all.")
    config = serializers.DictField()
    limits = serializers.DictField()
    metadata = serializers.DictField()

    example = WHOLE_RUN

    class Meta(RunItemSerializer.Meta):
        fields = list(WHOLE_RUN)
        read_only_fields = fields


class EventSerializer(StrictSerializer):
    """An event; its `data` is shaped by its `type`."""

    run_id = serializers.UUIDField()
    seq = serializers.IntegerField(help_text="1, 2, 3 … without holes.")
    attempt = serializers.IntegerField()
    step = serializers.IntegerField(help_text="0 outside of steps.")
    node = serializers.CharField()
    type = serializers.CharField()
    timestamp = serializers.DateTimeField()
    data = serializers.DictField(  # type: ignore[assignment]
        help_text="Over 64 KB: {payload_id, size, preview}; read the payload by its id."
    )


class EventPageSerializer(StrictSerializer):
    """Some of a run's events."""

    run_id = serializers.UUIDField()
    total = serializers.IntegerField(help_text="How many there are so far.")
    has_more = serializers.BooleanField()
    events = EventSerializer(many=True)

    example = {"run_id": RUN, "total": 9, "has_more": True, "events": [EVENT]}


class PayloadSerializer(StrictSerializer):
    """The data of an event that is over 64 KB."""

    id = serializers.UUIDField()
    run_id = serializers.UUIDField()
    data = serializers.DictField()  # type: ignore[assignment]

    example = {"id": RUN, "run_id": RUN, "data": {"tool": "get_order", "result": "…"}}


class ResumeSerializer(StrictSerializer):
    limits = LimitsSerializer(required=False, help_text="Over the run's own; what is left out stays.")

    example = {"limits": {"max_cost": "0.50", "max_tokens": 200_000}}


class CancelSerializer(StrictSerializer):
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)

    example = {"reason": "The customer has left."}


class VerbSerializer(StrictSerializer):
    """What a verb has done."""

    run_id = serializers.UUIDField()
    status = serializers.CharField()
    message = serializers.CharField()

    example = {"run_id": RUN, "status": "cancelled", "message": "The run is cancelled."}
