"""What a session has used and cost: shapes."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import StrictSerializer
from billing.api.serializers import MoneyField
from runs.api.examples import SESSION

TOKENS = {
    "requests": 12,
    "input_tokens": 4021,
    "cached_tokens": 1024,
    "cache_write_tokens": 0,
    "output_tokens": 912,
    "reasoning_tokens": 64,
    "total_tokens": 4933,
}
COST = {"cost": "0.0012", "requests": 12, "unpriced_requests": 0}
MODEL = {"provider": "openai", "model": "gpt-4o-mini"}
AGENT: dict[str, Any] = {"agent_id": "01934d6e-9b7e-7d52-8f1a-3a3f5e2b1c90", "agent": "trade-assistant"}


class TokensSerializer(StrictSerializer):
    requests = serializers.IntegerField(help_text="Model calls that have ended.")
    input_tokens = serializers.IntegerField(help_text="With cached ones and those written to a cache.")
    cached_tokens = serializers.IntegerField()
    cache_write_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField(help_text="With reasoning.")
    reasoning_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class TokensOfModelSerializer(TokensSerializer):
    provider = serializers.CharField()
    model = serializers.CharField()


class TokensOfAgentSerializer(TokensSerializer):
    agent_id = serializers.UUIDField(allow_null=True)
    agent = serializers.CharField(help_text="The name at that time.")


class SessionTokensSerializer(TokensSerializer):
    """Of the session's runs, and of those that their tools have started."""

    session_id = serializers.UUIDField()
    by_model = TokensOfModelSerializer(many=True)
    by_agent = TokensOfAgentSerializer(many=True)

    example = {
        "session_id": SESSION,
        **TOKENS,
        "by_model": [{**MODEL, **TOKENS}],
        "by_agent": [{**AGENT, **TOKENS}],
    }


class CostSerializer(StrictSerializer):
    cost = MoneyField(allow_null=True, help_text="Of the priced requests; null where none of them is.")
    requests = serializers.IntegerField()
    unpriced_requests = serializers.IntegerField(help_text="Without a known price; `cost` leaves them out.")


class CostOfModelSerializer(CostSerializer):
    provider = serializers.CharField()
    model = serializers.CharField()


class CostOfAgentSerializer(CostSerializer):
    agent_id = serializers.UUIDField(allow_null=True)
    agent = serializers.CharField(help_text="The name at that time.")


class CostInOtherCurrencySerializer(StrictSerializer):
    currency = serializers.CharField()
    cost = MoneyField()


class SessionCostSerializer(CostSerializer):
    """Of the session's runs, and of those that their tools have started, from the ledger."""

    session_id = serializers.UUIDField()
    currency = serializers.CharField()
    other_currencies = CostInOtherCurrencySerializer(many=True, help_text="From before it was changed.")
    by_model = CostOfModelSerializer(many=True)
    by_agent = CostOfAgentSerializer(many=True)

    example = {
        "session_id": SESSION,
        "currency": "USD",
        **COST,
        "other_currencies": [],
        "by_model": [{**MODEL, **COST}],
        "by_agent": [{**AGENT, **COST}],
    }
