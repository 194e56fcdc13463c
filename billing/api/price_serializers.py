"""The shapes of prices, repricings, and of whether the sums are right."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from rest_framework import serializers

from agentplatform.lib.serializers import StrictModelSerializer
from billing import price_list, repricing
from billing.api.serializers import HEAD, MoneyField, UsagePeriodSerializer
from billing.models import Price, Repricing

# A longer period may take longer to compare than a request should.
MOST_DAYS = 31


def _price_field(**kwargs: Any) -> MoneyField:
    return MoneyField(
        max_digits=18, decimal_places=6, min_value=0, max_value=price_list.HIGHEST_PRICE, **kwargs
    )


def _own_price_field(otherwise: str) -> MoneyField:
    return _price_field(required=False, allow_null=True, help_text=f"Null: what {otherwise} costs.")


class PriceSerializer(StrictModelSerializer):
    """A price per million tokens in the workspace's currency, from a moment on.

    Each token is charged once, by its own kind. A kind without a price costs what it is a part of costs. A price
    from the moment of an earlier one is its next version, which takes its place.
    """

    input_per_million = _price_field()
    cached_per_million = _own_price_field("input")
    cached_audio_per_million = _own_price_field("cached input")
    cache_write_per_million = _own_price_field("input")
    input_audio_per_million = _own_price_field("input")
    input_image_per_million = _own_price_field("input")
    output_per_million = _price_field()
    reasoning_per_million = _own_price_field("output")
    output_audio_per_million = _own_price_field("output")
    output_image_per_million = _own_price_field("output")
    per_request = MoneyField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=price_list.HIGHEST_PRICE,
        help_text="Added to each call that took tokens.",
    )
    tiers = serializers.ListField(
        child=serializers.DictField(),
        required=False,
        max_length=price_list.MOST_TIERS,
        help_text="Prices of all tokens of a call with more input tokens than `above`, by the names of the prices: "
        '[{"above": 200000, "input_per_million": "4"}].',
    )
    valid_from = serializers.DateTimeField(
        default=timezone.now,
        help_text="Default: now. In the past: what is recorded already keeps its price until the period is repriced.",
    )
    valid_until = serializers.DateTimeField(
        required=False,
        allow_null=True,
        help_text="Null: until another price begins. The same as `valid_from`: never valid, which takes one back.",
    )
    is_in_force = serializers.SerializerMethodField(
        help_text="Whether it is valid now and no newer version has taken its place."
    )

    example = {
        "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e",
        "provider": "openai",
        "model": "qwen3-32b",
        "input_per_million": "0.15",
        "cached_per_million": "0.075",
        "cached_audio_per_million": None,
        "cache_write_per_million": None,
        "input_audio_per_million": "10",
        "input_image_per_million": None,
        "output_per_million": "0.6",
        "reasoning_per_million": None,
        "output_audio_per_million": "20",
        "output_image_per_million": None,
        "per_request": None,
        "tiers": [{"above": 200000, "input_per_million": "0.3", "output_per_million": "1.2"}],
        "valid_from": "2026-12-01T00:00:00Z",
        "valid_until": None,
        "version": 1,
        "source": "workspace",
        "is_in_force": False,
        "created_at": "2026-11-21T08:30:00Z",
    }

    class Meta:
        model = Price
        fields = [
            "id",
            "provider",
            "model",
            *price_list.FIGURES,
            "per_request",
            "tiers",
            "valid_from",
            "valid_until",
            "version",
            "source",
            "is_in_force",
            "created_at",
        ]
        read_only_fields = ["version", "source", "created_at"]
        # A price from the moment of another one is its next version.
        validators: list[Any] = []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        price_list.check(attrs)
        return attrs

    def get_is_in_force(self, price: Price) -> bool:
        return price_list.is_in_force(price)

    def create(self, validated_data: dict[str, Any]) -> Price:
        price = price_list.add(Price(**validated_data))
        return Price.objects.with_superseded().get(pk=price.pk)


class RepricingSumsSerializer(serializers.Serializer[Any]):
    before = serializers.CharField(help_text="Costs of the calls looked at, as they were.")
    after = serializers.CharField(help_text="As they are now, or would be.")
    difference = serializers.CharField()


class RepricingSerializer(StrictModelSerializer):
    """A period whose calls are priced anew, by the prices as they are known now for each call's own moment."""

    reason = serializers.CharField(max_length=500, help_text="Why, for whoever reads the books later.")
    sums = serializers.DictField(
        child=RepricingSumsSerializer(), read_only=True, help_text="By currency, as decimal texts."
    )

    example = {
        "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e",
        "start": "2026-11-01T00:00:00Z",
        "end": "2026-12-01T00:00:00Z",
        "provider": "openai",
        "model": "qwen3-32b",
        "agent": "",
        "dry_run": False,
        "reason": "The new contract's prices hold from November on.",
        "status": "done",
        "looked_at": 40210,
        "changed": 40102,
        "unknown": 108,
        "sums": {"USD": {"before": "107.355", "after": "96.1", "difference": "-11.255"}},
        "error": "",
        "created_at": "2026-12-02T08:30:00Z",
        "updated_at": "2026-12-02T08:31:10Z",
        "finished_at": "2026-12-02T08:31:10Z",
    }

    class Meta:
        model = Repricing
        fields = [
            "id",
            "start",
            "end",
            "provider",
            "model",
            "agent",
            "dry_run",
            "reason",
            "status",
            "looked_at",
            "changed",
            "unknown",
            "sums",
            "error",
            "created_at",
            "updated_at",
            "finished_at",
        ]
        read_only_fields = [
            "status",
            "looked_at",
            "changed",
            "unknown",
            "error",
            "created_at",
            "updated_at",
            "finished_at",
        ]

    def create(self, validated_data: dict[str, Any]) -> Repricing:
        with transaction.atomic():
            return repricing.request(Repricing(**validated_data))


class ReconciliationQuerySerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField(
        required=False,
        help_text=f"From this moment. Runs count by when they were made. Default: {MOST_DAYS} days before the end.",
    )
    end = serializers.DateTimeField(
        default=timezone.now,
        help_text=f"Before this moment; at most {MOST_DAYS} days after the start. Default: now.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs.setdefault("start", attrs["end"] - timedelta(days=MOST_DAYS))
        if attrs["start"] >= attrs["end"]:
            raise serializers.ValidationError({"start": "Give a start before the end."})
        if attrs["end"] - attrs["start"] > timedelta(days=MOST_DAYS):
            remedy = "the command `manage.py reconcile` compares longer ones"
            raise serializers.ValidationError(
                {"end": f"Take a period of at most {MOST_DAYS} days; {remedy}."}
            )
        return attrs


class DifferenceSerializer(serializers.Serializer[Any]):
    key = serializers.DictField(
        child=serializers.CharField(allow_blank=True), help_text="What it is the sum of."
    )
    column = serializers.CharField()
    expected = MoneyField(help_text="What the ledger says.")
    found = MoneyField()


class RoadSerializer(serializers.Serializer[Any]):
    road = serializers.CharField(help_text="Which sums were compared with the ledger.")
    groups = serializers.IntegerField(help_text="How many sums were compared.")
    differing = serializers.IntegerField()
    differences = DifferenceSerializer(many=True, help_text="Of the first hundred that differ.")


class ReconciliationSerializer(serializers.Serializer[Any]):
    period = UsagePeriodSerializer()
    agrees = serializers.BooleanField()
    roads = RoadSerializer(many=True)

    example = {
        "period": HEAD["period"],
        "agrees": False,
        "roads": [
            {
                "road": "runs",
                "groups": 128,
                "differing": 1,
                "differences": [
                    {
                        "key": {"run_id": "01934d6e-6b0a-7d41-8c4d-1e7f0a2b3c4d"},
                        "column": "cost",
                        "expected": "0.00021",
                        "found": "0",
                    }
                ],
            }
        ],
    }
