"""Fields of what clients ask runs for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agentplatform.lib.async_views import validated
from agentplatform.lib.decimals import plain
from agentplatform.lib.json import dumps
from agentplatform.lib.serializers import StrictSerializer
from agents.api.fields import NumberField, ObjectField
from runs.queueing.multitask import Strategy

MAX_MESSAGE = 1_000_000
MAX_MESSAGES = 1000
MAX_METADATA_BYTES = 64 * 1024
MOST_TOKENS = 10**12
COST_DIGITS, COST_PLACES = 24, 12
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


class IdField(serializers.UUIDField):
    """An id, as a text only: Django REST framework makes one of a number, too."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class SessionField(IdField):
    def __init__(self) -> None:
        super().__init__(required=False, allow_null=True, help_text="The conversation that it goes on with.")


class StrategyField(serializers.ChoiceField):
    """What becomes of the session's runs that have not ended."""

    def __init__(self) -> None:
        help_text = (
            "What becomes of the session's runs that have not ended: `enqueue` (the default) waits for them, `reject` "
            "answers 409, `interrupt` cancels them, `rollback` also takes back what they have added. Without it, a "
            "session that waits for an approval answers 409 with the approval's id. Without a session, no effect."
        )
        super().__init__(
            choices=[strategy.value for strategy in Strategy], required=False, help_text=help_text
        )

    def to_internal_value(self, data: Any) -> Strategy:
        return Strategy(super().to_internal_value(data))


class EndingStrategyField(StrategyField):
    """The same where nothing can wait for them."""

    def __init__(self) -> None:
        super().__init__()
        self.help_text = (
            "What becomes of the session's runs that have not ended: `interrupt` and `rollback` cancel them; without "
            "it, and with `enqueue` or `reject`, 409 names the one that is under way."
        )


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


@extend_schema_field({"oneOf": [{"type": "string", "maxLength": MAX_MESSAGE}, {"type": "object"}]})
class AnyInputField(serializers.Field[Any, Any, Any, Any]):
    """The input of an agent or of a workflow, as it was sent: which of them it is for says what it has to look like."""

    default_error_messages = {"shape": "Send a text, or an object."}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str | dict):
            self.fail("shape")
        return data


class WorkflowInputField(AnyInputField):
    """A workflow's input: an object that fits its schema; a text is its `message`."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        given = super().to_internal_value(data)
        return {"message": given} if isinstance(given, str) else given


class CostField(serializers.DecimalField):
    """Money, sent as a text or a number and kept as plain decimal text, as JSON would make a float of it."""

    def __init__(self, **options: Any) -> None:
        least = Decimal(1).scaleb(-COST_PLACES)
        super().__init__(max_digits=COST_DIGITS, decimal_places=COST_PLACES, min_value=least, **options)

    def run_validation(self, data: Any = serializers.empty) -> str:
        return plain(super().run_validation(data))


class LimitsSerializer(StrictSerializer):
    """A run's budget. Those of tokens, cost and time are enforced before each model call: the run then pauses with
    the reason `budget_exceeded`, and can be resumed with a higher one. What its tools' runs use counts too.
    """

    max_tokens = serializers.IntegerField(
        required=False, min_value=1, max_value=MOST_TOKENS, help_text="Input and output, of all model calls."
    )
    max_cost = CostField(
        required=False,
        help_text="In the workspace's currency. Calls without a price use it up, unless max_tokens is set too.",
    )
    timeout = NumberField(
        required=False,
        min_value=0.1,
        max_value=86_400,
        help_text="Seconds that workers have the run in hand. When they are over, a model call is broken off, and a "
        "tool call comes to its end first. Without it an attempt fails after 600 seconds, with the class timeout.",
    )
    max_steps = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=500,
        help_text="Model calls; a run that needs more fails. The agent's own limit holds too.",
    )


class MetadataField(ObjectField):
    """Whatever the client wants to find with the run again."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value = super().to_internal_value(data)
        if len(dumps(value)) > MAX_METADATA_BYTES:
            raise serializers.ValidationError(f"At most {MAX_METADATA_BYTES} bytes as JSON.")
        return value
