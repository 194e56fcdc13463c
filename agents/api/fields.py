"""Fields and nested shapes of the agents' API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import StrictSerializer
from agents.models import name_validator
from agents.specification import MODEL, RULE
from agents.validation import BOUNDS


class NameField(serializers.CharField):
    """A name that is unique in the workspace."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=100, validators=[name_validator], **options)


class ObjectField(serializers.DictField):
    """A JSON object of any content; null stands for an empty one."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return {} if data is None else super().run_validation(data)


class NumberField(serializers.FloatField):
    """A number. True is none, although Python takes it for 1."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


def bounds(name: str) -> dict[str, Any]:
    least, most = BOUNDS[name]
    return {"min_value": least, "max_value": most, "required": False}


class AgentConfigSerializer(StrictSerializer):
    """Limits of an agent's runs. What is left out takes the platform's default."""

    max_steps = serializers.IntegerField(
        **bounds("max_steps"), help_text="Model calls of a run. Default: 25."
    )
    temperature = NumberField(
        **bounds("temperature"), allow_null=True, help_text="Goes over the model's own."
    )
    max_tokens = serializers.IntegerField(
        **bounds("max_tokens"), allow_null=True, help_text="Tokens of one answer. Goes over the model's own."
    )
    timeout = NumberField(
        **bounds("timeout"), help_text="Seconds of one model call. Default: AGENT_TIMEOUT_SECONDS."
    )
    retries = serializers.IntegerField(
        **bounds("retries"),
        help_text="Further attempts after a fault that may pass. Default: AGENT_MAX_RETRIES.",
    )
    cache_ttl = serializers.IntegerField(
        **bounds("cache_ttl"),
        help_text="Seconds for which the model's answer to the same question is given again, at no cost. Default: 0.",
    )
    naming = serializers.ChoiceField(
        choices=[RULE, MODEL],
        required=False,
        help_text="Names of conversations: after the first message (rule, the default), or by the model, which costs a "
        "short call.",
    )


class MemorySerializer(StrictSerializer):
    """What the model is shown of the conversation."""

    window = serializers.IntegerField(
        **bounds("memory_window"), allow_null=True, help_text="The last messages. Null: all of them."
    )

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return {} if data is None else super().run_validation(data)


class HttpRequestSerializer(StrictSerializer):
    """The template of an `http` tool's request. `{placeholders}` are the tool's arguments."""

    method = serializers.CharField(default="GET", help_text="GET, POST, PUT, PATCH, DELETE or HEAD.")
    url = serializers.CharField(
        max_length=4000, help_text="Absolute. Placeholders in the path and the query only."
    )
    headers = serializers.DictField(default=dict, help_text="Not secret ones: they go into secret_headers.")
    query = serializers.DictField(default=dict)
    body = serializers.JSONField(default=None, allow_null=True, help_text="Sent as JSON.")

    def validate_method(self, value: str) -> str:
        return value.upper()
