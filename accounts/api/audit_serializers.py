"""The shapes of the audit log over REST."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.audit.models import AuditEntry
from agentplatform.lib.serializers import StrictModelSerializer

FORMATS = ["csv", "jsonl"]


class AuditEntrySerializer(StrictModelSerializer):
    """One act: who did what to which object, from where, and what it was before and after."""

    user = serializers.CharField(
        source="user_name.name",
        default=None,
        allow_null=True,
        help_text="The name then; a pseudonym once erased.",
    )
    api_key = serializers.CharField(source="api_key_name.name", default=None, allow_null=True)
    subject = serializers.CharField(
        source="subject_name.name",
        default=None,
        allow_null=True,
        help_text="The person that the object is, or the name of a person's API key.",
    )
    before = serializers.JSONField(
        allow_null=True, help_text="Changed fields only; what is not to be shown has the value ••••."
    )
    after = serializers.JSONField(allow_null=True, help_text="The same afterwards.")

    example = {
        "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e",
        "timestamp": "2026-11-21T08:30:00.125Z",
        "action": "updated",
        "outcome": "succeeded",
        "resource_type": "Agent",
        "resource_id": "01934d6e-6b0a-7d41-8c4d-1e7f0a2b3c4d",
        "resource_name": "trade-assistant",
        "subject_id": None,
        "subject": None,
        "user_id": "01934d6e-5a1c-7c52-9d5e-2f8a1b3c4d5e",
        "user": "alice",
        "api_key_id": None,
        "api_key": None,
        "api_key_prefix": "",
        "via": "api",
        "address": "203.0.113.7",
        "request_id": "01934d6e-7a1b-7c52-9d5e-2f8a1b3c4d5e",
        "method": "PATCH",
        "path": "/api/v1/agents/{pk}",
        "before": {"system_prompt": "Be brief."},
        "after": {"system_prompt": "Be kind."},
    }

    class Meta:
        model = AuditEntry
        fields = [
            *("id", "timestamp", "action", "outcome", "resource_type", "resource_id", "resource_name"),
            *("subject_id", "subject", "user_id", "user", "api_key_id", "api_key", "api_key_prefix"),
            *("via", "address", "request_id", "method", "path", "before", "after"),
        ]
        read_only_fields = fields


class AuditExportQuerySerializer(serializers.Serializer[Any]):
    format = serializers.ChoiceField(choices=FORMATS, default="csv")
