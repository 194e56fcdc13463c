"""The shapes of budgets."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import StrictModelSerializer
from billing.api.serializers import MoneyField
from billing.budgets import editing
from billing.models import Budget

HIGHEST_LEVEL = 1000
MOST_LEVELS = 10
MOST_RECIPIENTS = 20
MOST_TOKENS = 10**15


class BudgetSerializer(StrictModelSerializer):
    """What the workspace, or a part of what it does, may spend in each period.

    It is of the calls that agree with all that is named of agent, user, API key, provider and model; with nothing named
    it is of the whole workspace. These, and the period, can't be changed.
    """

    limit_amount = MoneyField(
        required=False, allow_null=True, min_value=0, max_value=10**9, help_text="In the budget's currency."
    )
    limit_tokens = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=MOST_TOKENS, help_text="Input and output."
    )
    warning_levels = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=HIGHEST_LEVEL),
        required=False,
        max_length=MOST_LEVELS,
        help_text="Percents of the limit, each told once in a period. Default: 50, 80 and 100.",
    )
    recipients = serializers.ListField(
        child=serializers.EmailField(),
        required=False,
        max_length=MOST_RECIPIENTS,
        help_text="Who is mailed of the levels, where a mail server is set up.",
    )
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True)

    example = {
        "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e",
        "name": "support, monthly",
        "agent_id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5f",
        "user_id": None,
        "api_key_id": None,
        "provider": "",
        "model": "",
        "period": "month",
        "limit_amount": "250",
        "limit_tokens": None,
        "currency": "USD",
        "time_zone": "Europe/Berlin",
        "warning_levels": [50, 80, 100],
        "action": "block",
        "recipients": ["finance@example.com"],
        "enabled": True,
        "created_by": "alice",
        "created_at": "2026-11-21T08:30:00Z",
        "updated_at": "2026-11-21T08:30:00Z",
    }

    class Meta:
        model = Budget
        fields = [
            "id", "name", *editing.FIXED, "limit_amount", "limit_tokens", "currency", "time_zone", "warning_levels",
            "action", "recipients", "enabled", "created_by", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = ["currency", "time_zone"]

    def validate_limit_amount(self, value: Any) -> Any:
        if value is not None and value == 0:
            raise serializers.ValidationError("Give more than 0, or null where only tokens are limited.")
        return value

    def validate_warning_levels(self, value: list[int]) -> list[int]:
        return sorted(set(value))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        limits = [
            attrs.get(name, getattr(self.instance, name, None)) for name in ("limit_amount", "limit_tokens")
        ]
        if all(limit is None for limit in limits):
            raise serializers.ValidationError({"limit_amount": "Give limit_amount, limit_tokens or both."})
        if self.instance is not None:
            self._require_same(attrs)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Budget:
        actor = self.context["actor"]
        # The platform's own actor is no user.
        return editing.create(
            Budget(**validated_data, created_by_id=actor.user_id if actor.user_id.int else None)
        )

    def update(self, instance: Budget, validated_data: dict[str, Any]) -> Budget:
        return editing.update(instance, validated_data)

    def _require_same(self, attrs: dict[str, Any]) -> None:
        """A PUT sends all fields, and may send these as they are."""
        changed = [
            name for name in editing.FIXED if name in attrs and attrs[name] != getattr(self.instance, name)
        ]
        if changed:
            raise serializers.ValidationError(
                dict.fromkeys(changed, "It can't be changed; make another budget.")
            )


class _FiguresSerializer(serializers.Serializer[Any]):
    spent_amount = MoneyField(help_text="Of settled calls, as in the ledger.")
    reserved_amount = MoneyField(help_text="Set aside for calls under way: the most that they may cost.")
    remaining_amount = MoneyField(allow_null=True, help_text="Null: money is not limited.")
    spent_tokens = serializers.IntegerField()
    reserved_tokens = serializers.IntegerField()
    remaining_tokens = serializers.IntegerField(allow_null=True, help_text="Null: tokens are not limited.")
    percent = MoneyField(help_text="Spent, of the limit that is nearer to its end.")


FIGURES = {
    "spent_amount": "102.5",
    "reserved_amount": "0.75",
    "remaining_amount": "146.75",
    "spent_tokens": 41000000,
    "reserved_tokens": 300000,
    "remaining_tokens": None,
    "percent": "41",
}


class BudgetStatusSerializer(_FiguresSerializer):
    budget_id = serializers.UUIDField()
    period = serializers.ChoiceField(choices=Budget.Period.choices)
    time_zone = serializers.CharField()
    currency = serializers.CharField()
    start = serializers.DateTimeField(
        allow_null=True, help_text="Of the present period; null: the whole time."
    )
    resets_at = serializers.DateTimeField(allow_null=True, help_text="When the next one begins; null: never.")

    example = {
        "budget_id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e",
        "period": "month",
        "time_zone": "Europe/Berlin",
        "currency": "USD",
        "start": "2026-10-31T23:00:00Z",
        "resets_at": "2026-11-30T23:00:00Z",
        **FIGURES,
    }


class BudgetPeriodSerializer(_FiguresSerializer):
    start = serializers.DateTimeField(allow_null=True)
    end = serializers.DateTimeField(allow_null=True, help_text="Not part of the period.")

    example = {"start": "2026-10-31T23:00:00Z", "end": "2026-11-30T23:00:00Z", **FIGURES}


class BurntBudgetSerializer(serializers.Serializer[Any]):
    budget_id = serializers.UUIDField()
    name = serializers.CharField()
    percent = serializers.DecimalField(
        max_digits=24, decimal_places=1, help_text="Of the limit that is nearer."
    )


class BurntSerializer(serializers.Serializer[Any]):
    budgets = BurntBudgetSerializer(many=True)

    example = {
        "budgets": [
            {"budget_id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e", "name": "monthly", "percent": "62.5"}
        ]
    }
