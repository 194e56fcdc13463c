"""Webhooks and their deliveries: what clients send, and what they are answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import NamedRelatedField, StrictModelSerializer
from agents import validation
from agents.api.fields import NameField
from agents.models import Agent
from runs.api.examples import RUN, Json
from runs.models import Webhook, WebhookDelivery
from runs.webhooks import editing
from runs.webhooks.outbox import EVENTS

WEBHOOK_OBJECT: Json = {
    "id": "01934d6e-b174-7cad-9e3f-8091a2b3c4d5",
    "name": "shop-backend",
    "url": "https://shop.example.com/hooks/agents",
    "events": ["run_completed", "run_failed", "approval_required"],
    "agent_id": None,
    "enabled": True,
    "disabled_reason": "",
    "failing_since": None,
    "created_at": "2026-11-21T10:30:00Z",
    "updated_at": "2026-11-21T10:30:00Z",
}
WITH_SECRET: Json = WEBHOOK_OBJECT | {"secret": "whsec_c2hvd24gb25jZSwgYW5kIG5ldmVyIGFnYWluIQ=="}
DELIVERY_OBJECT: Json = {
    "id": "01934d6e-c285-7dbe-8f40-91a2b3c4d5e6",
    "run_id": RUN,
    "type": "run_completed",
    "payload": {
        "type": "run_completed",
        "timestamp": "2026-11-21T10:30:01.432Z",
        "data": {
            "run_id": RUN,
            "status": "completed",
            "agent": "shop-assistant",
            "session_id": None,
            "user_id": "customer-81",
            "parent_id": None,
            "response": "17 * 23 is 391.",
        },
    },
    "status": "delivered",
    "attempts": 1,
    "response_status": 204,
    "response": "",
    "error": "",
    "latency_ms": 38,
    "created_at": "2026-11-21T10:30:01.440Z",
    "next_attempt_at": None,
    "finished_at": "2026-11-21T10:30:01.489Z",
}


class WebhookSerializer(StrictModelSerializer):
    """An address that is told of events of runs."""

    name = NameField()
    url = serializers.CharField(
        max_length=2000, help_text="Absolute. Private addresses have to be allowed by an operator."
    )
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=[str(event) for event in EVENTS]),
        allow_empty=False,
        max_length=len(EVENTS),
        help_text="What it is told of.",
    )
    agent_id = NamedRelatedField(
        source="agent",
        queryset=Agent.objects.all(),
        required=False,
        allow_null=True,
        help_text="Id or name: only that agent's runs. Without it: all.",
    )
    enabled = serializers.BooleanField(default=True)

    example = WEBHOOK_OBJECT

    class Meta:
        model = Webhook
        fields = list(WEBHOOK_OBJECT)
        read_only_fields = ["id", "disabled_reason", "failing_since", "created_at", "updated_at"]

    def validate_name(self, value: str) -> str:
        validation.check_name(value)
        return value

    def validate_events(self, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))

    def create(self, validated_data: dict[str, Any]) -> Webhook:
        return editing.create(self.context["actor"], validated_data)

    def update(self, instance: Webhook, validated_data: dict[str, Any]) -> Webhook:
        return editing.change(instance, validated_data)

    def to_representation(self, instance: Webhook) -> Json:
        return webhook_json(instance)


class SecretWebhookSerializer(WebhookSerializer):
    """The same with its secret, which is not shown again."""

    secret = serializers.CharField(
        read_only=True, help_text="Signs its messages. Keep it; it is not shown again."
    )

    example = WITH_SECRET

    class Meta(WebhookSerializer.Meta):
        fields = list(WITH_SECRET)

    def to_representation(self, instance: Webhook) -> Json:
        return webhook_json(instance) | {"secret": instance.secret}


class DeliverySerializer(StrictModelSerializer):
    """A message to a webhook, and what became of it."""

    id = serializers.UUIDField(help_text="Sent as `webhook-id` with each attempt.")
    payload = serializers.DictField(help_text="`type`, `timestamp` and `data`.")
    response = serializers.CharField(help_text="How the last answer began.")
    error = serializers.CharField(help_text="Why the last attempt has failed; empty: it has not.")
    next_attempt_at = serializers.DateTimeField(
        allow_null=True, help_text="Of what is pending; null otherwise."
    )

    example = DELIVERY_OBJECT

    class Meta:
        model = WebhookDelivery
        fields = list(DELIVERY_OBJECT)
        read_only_fields = fields


def webhook_json(webhook: Webhook) -> Json:
    return {
        "id": str(webhook.pk),
        "name": webhook.name,
        "url": webhook.url,
        "events": webhook.events,
        "agent_id": str(webhook.agent_id) if webhook.agent_id else None,
        "enabled": webhook.enabled,
        "disabled_reason": webhook.disabled_reason,
        "failing_since": webhook.failing_since,
        "created_at": webhook.created_at,
        "updated_at": webhook.updated_at,
    }
