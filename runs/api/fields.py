"""Fields of what clients ask runs for."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agentplatform.lib.async_views import validated
from agentplatform.lib.json import dumps
from agentplatform.lib.serializers import StrictSerializer
from agents.api.fields import NumberField, ObjectField

MAX_MESSAGE = 1_000_000
MAX_MESSAGES = 1000
MAX_METADATA_BYTES = 64 * 1024
ROLES = ("user", "assistant", "system")


class TextField(serializers.CharField):
    """A message's text, kept as it was sent, line breaks and blanks at its ends included."""

    default_error_messages = {"invalid": "Send a text, in quotes."}

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_MESSAGE, trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if not data or data.isspace():
            self.fail("blank")
        return data


_text = TextField()


class AgentField(serializers.CharField):
    """An agent by id or name; null or nothing leaves the choice to the session or the workspace."""

    def __init__(self) -> None:
        help_text = "Id or name. Without it: the session's agent, or the workspace's default one."
        super().__init__(required=False, allow_null=True, max_length=100, help_text=help_text)


class SessionField(serializers.UUIDField):
    def __init__(self) -> None:
        super().__init__(required=False, allow_null=True, help_text="The conversation that it goes on with.")

    def to_internal_value(self, data: Any) -> UUID:
        """Texts only: Django REST framework makes an id of a number, too."""
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class EndUserField(serializers.CharField):
    """The client's own end user."""

    def __init__(self, **options: Any) -> None:
        help_text = "Your own end user, free text. Who calls is recorded apart from it."
        super().__init__(required=False, allow_blank=True, max_length=200, help_text=help_text, **options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return super().run_validation("" if data is None else data)


class InputMessageSerializer(StrictSerializer):
    role = serializers.ChoiceField(choices=ROLES)
    content = TextField()


class ConversationSerializer(StrictSerializer):
    messages = InputMessageSerializer(many=True, allow_empty=False, max_length=MAX_MESSAGES)  # type: ignore[call-arg]

    def validate_messages(self, value: list[dict[str, str]]) -> list[dict[str, str]]:
        if value[-1]["role"] != "user":
            raise serializers.ValidationError(
                "The last message is the one to answer; its role must be 'user'."
            )
        return value


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "maxLength": MAX_MESSAGE},
            {
                "type": "object",
                "required": ["messages"],
                "properties": {
                    "messages": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MAX_MESSAGES,
                        "items": {
                            "type": "object",
                            "required": ["role", "content"],
                            "properties": {
                                "role": {"type": "string", "enum": list(ROLES)},
                                "content": {"type": "string", "maxLength": MAX_MESSAGE},
                            },
                        },
                    }
                },
            },
        ]
    }
)
class InputField(serializers.Field[Any, Any, Any, Any]):
    """A text, or a conversation whose last message is to be answered; either becomes a list of messages."""

    default_error_messages = {
        "shape": 'Send a text, or an object like {{"messages": [{{"role": "user", "content": "…"}}]}}.'
    }

    def to_internal_value(self, data: Any) -> list[dict[str, str]]:
        if isinstance(data, str):
            return [{"role": "user", "content": _text.run_validation(data)}]
        if not isinstance(data, dict):
            self.fail("shape")
        return [dict(message) for message in validated(ConversationSerializer, data)["messages"]]


class LimitsSerializer(StrictSerializer):
    """What ends a run however far it has come."""

    timeout = NumberField(
        required=False, min_value=0.1, max_value=86_400, help_text="Seconds of the whole run. Default: 600."
    )
    max_steps = serializers.IntegerField(
        required=False, min_value=1, max_value=500, help_text="Model calls. The agent's own limit holds too."
    )


class MetadataField(ObjectField):
    """Whatever the client wants to find with the run again."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value = super().to_internal_value(data)
        if len(dumps(value)) > MAX_METADATA_BYTES:
            raise serializers.ValidationError(f"At most {MAX_METADATA_BYTES} bytes as JSON.")
        return value
