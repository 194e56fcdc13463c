"""The shapes of usage. Money is a decimal string without trailing zeros, never a float."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from rest_framework import serializers

from agentplatform.lib.decimals import plain
from billing.cuts import DIMENSIONS
from billing.totals import SUMS
from billing.usage import GRANULARITIES

# Of which a history can be had by group. Sessions are too many, and too short.
IN_TIME = tuple(name for name in DIMENSIONS if name != "session")
MOST_DIMENSIONS = 2
MOST_LISTED = 1000
MOST_SERIES = 20


class MoneyField(serializers.DecimalField):
    """A decimal; `0.000150000000` is answered as `"0.00015"`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_digits": 24, "decimal_places": 12, **kwargs})

    def to_representation(self, value: Decimal) -> str:
        return plain(Decimal(value))


class UsageTotalsSerializer(serializers.Serializer[Any]):
    requests = serializers.IntegerField(help_text="Model calls that have ended.")
    input_tokens = serializers.IntegerField(help_text="With cached ones and those written to a cache.")
    cached_tokens = serializers.IntegerField()
    cache_write_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField(help_text="With reasoning.")
    reasoning_tokens = serializers.IntegerField()
    cost = MoneyField(allow_null=True, help_text="Of the priced requests; null where none of them is.")
    unpriced_requests = serializers.IntegerField(help_text="Without a known price; `cost` leaves them out.")


def shown(value: Any) -> Any:
    """An answer as these serializers would give it. There can be tens of thousands of numbers in a history by group."""
    if isinstance(value, dict):
        return {name: part if type(part) is int else shown(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shown(part) for part in value]
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, UUID) else value


class UsageOfModelSerializer(UsageTotalsSerializer):
    provider = serializers.CharField()
    model = serializers.CharField()


class UsageOfAgentSerializer(UsageTotalsSerializer):
    agent_id = serializers.UUIDField(allow_null=True)
    agent = serializers.CharField(help_text="The name at that time.")


class UsageOfAgentByModelSerializer(UsageOfAgentSerializer):
    by_model = UsageOfModelSerializer(many=True)


class UsageBucketSerializer(UsageTotalsSerializer):
    start = serializers.DateTimeField()


class UsagePeriodSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="Not part of the period.")


class UsageInOtherCurrencySerializer(serializers.Serializer[Any]):
    currency = serializers.CharField()
    cost = MoneyField()


class UsageHeadSerializer(serializers.Serializer[Any]):
    period = UsagePeriodSerializer()
    currency = serializers.CharField(help_text="ISO 4217 code of every `cost`.")
    totals = UsageTotalsSerializer()
    other_currencies = UsageInOtherCurrencySerializer(many=True, help_text="From before it was changed.")


TOTALS = {
    "requests": 128,
    "input_tokens": 40210,
    "cached_tokens": 10240,
    "cache_write_tokens": 0,
    "output_tokens": 9120,
    "reasoning_tokens": 640,
    "cost": "0.0107355",
    "unpriced_requests": 0,
}
HEAD = {
    "period": {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"},
    "currency": "USD",
    "totals": TOTALS,
    "other_currencies": [],
}
OF_MODEL = {**TOTALS, "provider": "openai", "model": "gpt-4o-mini"}
OF_AGENT = {**TOTALS, "agent_id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e", "agent": "trade-assistant"}


class UsageSerializer(UsageHeadSerializer):
    by_model = UsageOfModelSerializer(many=True)
    by_agent = UsageOfAgentSerializer(many=True)
    open_calls = serializers.IntegerField(help_text="Model calls that are under way and not counted yet.")

    example = {**HEAD, "by_model": [OF_MODEL], "by_agent": [OF_AGENT], "open_calls": 0}


class AgentBreakdownSerializer(UsageHeadSerializer):
    agents = UsageOfAgentByModelSerializer(many=True)

    example = {**HEAD, "agents": [{**OF_AGENT, "by_model": [OF_MODEL]}]}


class UsageGroupSerializer(UsageTotalsSerializer):
    """The totals of one group. It has the fields of what was asked for, and none of the others."""

    agent_id = serializers.UUIDField(required=False, allow_null=True)
    agent = serializers.CharField(required=False, help_text="The name at that time.")
    provider = serializers.CharField(required=False)
    model = serializers.CharField(required=False)
    workflow_id = serializers.UUIDField(required=False, allow_null=True)
    workflow = serializers.CharField(required=False, help_text="The name at that time.")
    user_id = serializers.UUIDField(required=False, allow_null=True)
    user = serializers.CharField(
        required=False, help_text="The name at that time; a pseudonym once it is erased."
    )
    api_key_id = serializers.UUIDField(required=False, allow_null=True)
    api_key = serializers.CharField(
        required=False, help_text="The name at that time; a pseudonym once it is erased."
    )
    session_id = serializers.UUIDField(required=False, allow_null=True)
    tag = serializers.CharField(
        required=False, allow_null=True, help_text="Null: calls of runs without tags."
    )
    status = serializers.CharField(required=False)


class UsageSeriesSerializer(UsageGroupSerializer):
    buckets = UsageBucketSerializer(many=True)


class UsageOthersInTimeSerializer(UsageTotalsSerializer):
    buckets = UsageBucketSerializer(many=True)


OF_USER = {**TOTALS, "user_id": "01934d6e-1a2b-7c3d-8e4f-5a6b7c8d9e0f", "user": "bob"}


class UsageBreakdownSerializer(UsageHeadSerializer):
    by = serializers.ListField(child=serializers.ChoiceField(choices=list(DIMENSIONS)))
    ordering = serializers.CharField()
    total = serializers.IntegerField(
        allow_null=True, help_text="How many groups there are. Null: more than are counted, which is 10,000."
    )
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()
    has_more = serializers.BooleanField()
    groups = UsageGroupSerializer(many=True)
    others = UsageTotalsSerializer(
        allow_null=True, help_text="Of the groups that are not listed here, together. By tag: null."
    )

    example = {
        **HEAD,
        "by": ["user"],
        "ordering": "-cost",
        "total": 1,
        "limit": 100,
        "offset": 0,
        "has_more": False,
        "groups": [OF_USER],
        "others": {**dict.fromkeys(TOTALS, 0), "cost": "0"},
    }


class UsageHistorySerializer(UsageHeadSerializer):
    granularity = serializers.ChoiceField(choices=list(GRANULARITIES))
    tz = serializers.CharField()
    buckets = UsageBucketSerializer(many=True)
    group_by = serializers.ChoiceField(
        choices=list(IN_TIME),
        required=False,
        help_text="Only where it was asked for, as `series` and `others`.",
    )
    series = UsageSeriesSerializer(many=True, required=False)
    others = UsageOthersInTimeSerializer(
        required=False, allow_null=True, help_text="What the groups in `series` leave. By tag: null."
    )

    example = {
        **HEAD,
        "granularity": "day",
        "tz": "UTC",
        "buckets": [{**TOTALS, "start": "2026-11-21T00:00:00Z"}],
    }


def _ordering_field() -> serializers.ChoiceField:
    names = [sign + name for name in SUMS for sign in ("-", "")]
    return serializers.ChoiceField(
        choices=names,
        default="-requests",
        help_text="Which groups come first; with a minus those that have most.",
    )


class FormatQuerySerializer(serializers.Serializer[Any]):
    format = serializers.ChoiceField(choices=["json", "svg"], default="json", help_text="svg: a plot.")


class HistoryQuerySerializer(FormatQuerySerializer):
    granularity = serializers.ChoiceField(choices=list(GRANULARITIES), default="day")
    tz = serializers.CharField(
        required=False, max_length=64, help_text="Time zone, like Europe/Berlin. Default: the workspace's."
    )
    group_by = serializers.ChoiceField(
        choices=list(IN_TIME), required=False, help_text="Also the history of each agent, model, user …"
    )
    ordering = _ordering_field()
    limit = serializers.IntegerField(
        min_value=1, max_value=MOST_SERIES, default=5, help_text="With `group_by`: how many groups."
    )


class BreakdownQuerySerializer(serializers.Serializer[Any]):
    by = serializers.CharField(
        default="agent",
        max_length=64,
        help_text=f"One of {', '.join(DIMENSIONS)}; or two of them, as in `agent,model`.",
    )
    ordering = _ordering_field()
    limit = serializers.IntegerField(min_value=1, max_value=MOST_LISTED, default=100)
    offset = serializers.IntegerField(min_value=0, max_value=100_000, default=0)

    def validate_by(self, value: str) -> list[str]:
        names = value.split(",")
        if unknown := [name for name in names if name not in DIMENSIONS]:
            raise serializers.ValidationError(
                f"There is no dimension {unknown[0]!r}; the dimensions are: {', '.join(DIMENSIONS)}."
            )
        if len(names) > MOST_DIMENSIONS or len(set(names)) < len(names):
            raise serializers.ValidationError("Give one dimension, or two that differ.")
        return names
