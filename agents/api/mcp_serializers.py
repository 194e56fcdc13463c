"""The JSON of MCP servers and of what they offer."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agentplatform.lib.serializers import StrictSerializer
from agents.api import examples, representations
from agents.api.serializers import COMMON, STAMPS, ConfigurationSerializer
from agents.mcp import rules
from agents.mcp.discovery import Discovery
from agents.models import McpServer

CONNECTION: dict[str, Any] = {
    "transport": "",
    "command": "",
    "arguments": [],
    "environment": {},
    "url": "",
    "headers": {},
}
MOST_IMPORTED = 1_000
LONGEST_NAME = 200


class McpServerSerializer(ConfigurationSerializer):
    rows = representations.mcp_servers
    transport = serializers.ChoiceField(choices=McpServer.Transport.choices)
    command = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=500,
        help_text="`stdio`: one of the operator's MCP_ALLOWED_COMMANDS, exactly as it stands there.",
    )
    arguments = serializers.ListField(
        child=serializers.CharField(max_length=2000, allow_blank=True, trim_whitespace=False),
        default=list,
        help_text="`stdio`: handed over as they are; no shell reads them.",
    )
    environment = serializers.DictField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False),
        default=dict,
        help_text="`stdio`: variables that are not secret.",
    )
    url = serializers.URLField(
        default="", allow_blank=True, max_length=500, help_text="`http`: the endpoint of streamable HTTP."
    )
    headers = serializers.DictField(
        child=serializers.CharField(allow_blank=True),
        default=dict,
        help_text="`http`: headers that are not secret.",
    )
    secrets = serializers.DictField(
        child=serializers.CharField(allow_null=True, max_length=4000),
        write_only=True,
        required=False,
        allow_null=True,
        help_text="Header (`http`) or variable (`stdio`) → value, stored encrypted and never shown. Left out: "
        "unchanged. A null value removes one, null itself all of them.",
    )
    secret_hints = serializers.DictField(
        child=serializers.CharField(), read_only=True, help_text="Name → the value's last characters."
    )
    timeout_seconds = serializers.IntegerField(
        default=30, min_value=1, max_value=600, help_text="For connecting. A tool has a time of its own."
    )
    health = serializers.ChoiceField(choices=McpServer.Health.choices, read_only=True)
    health_message = serializers.CharField(read_only=True, help_text="Why it could not be reached.")
    checked_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When it was last connected to; null: never."
    )
    server_info = serializers.DictField(
        read_only=True, help_text="What it said of itself: name, version, protocol."
    )
    discovered = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="The names of its tools at that time."
    )

    example = examples.MCP_SERVER

    class Meta:
        model = McpServer
        fields = [
            *COMMON,
            *CONNECTION,
            "secrets",
            "secret_hints",
            "timeout_seconds",
            "health",
            "health_message",
            "checked_at",
            "server_info",
            "discovered",
            *STAMPS,
        ]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        connection = rules.Connection(
            **{name: self.after(attrs, name, empty) for name, empty in CONNECTION.items()}
        )
        secrets = attrs.get("secrets", rules.UNCHANGED)
        if rules.check_server(self.actor, self.instance, connection, secrets):
            return {**attrs, "health": McpServer.Health.UNKNOWN}
        return attrs

    def to_representation(self, instance: McpServer) -> dict[str, Any]:
        return representations.mcp_server_json(instance)


@extend_schema_field(
    {"oneOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}], "default": False}
)
class ImportField(serializers.Field[Any, Any, Any, Any]):
    """True for all tools, False for none, or a list of their names at the server; becomes None or the names."""

    default_error_messages = {
        "invalid": "Give true, false, or a list of at most {most} names of tools at the server."
    }

    def to_internal_value(self, data: Any) -> list[str] | None:
        if isinstance(data, bool):
            return None if data else []
        if (
            not isinstance(data, list)
            or len(data) > MOST_IMPORTED
            or not all(isinstance(name, str) and len(name) <= LONGEST_NAME for name in data)
        ):
            self.fail("invalid", most=MOST_IMPORTED)
        return list(data)

    def to_representation(self, value: Any) -> Any:
        return value


class DiscoverSerializer(StrictSerializer):
    """What is imported of what is found: nothing, unless said otherwise."""

    prefix = serializers.RegexField(
        r"^[A-Za-z0-9_-]*\Z",
        default="",
        allow_blank=True,
        max_length=40,
        help_text="Stands before the names of the tools that are created.",
    )
    example = {"import": ["search", "fetch"], "prefix": "docs_"}

    def get_fields(self) -> dict[str, Any]:
        # `import` is a word of the language, so the field is made where it cannot be written.
        field = ImportField(
            default=list, help_text="True: all tools. A list: those of these names at the server."
        )
        return {"import": field, **super().get_fields()}


class RefusedSerializer(StrictSerializer):
    tool = serializers.CharField()
    message = serializers.CharField()


class ImportedSerializer(StrictSerializer):
    mcp_tool = serializers.CharField(help_text="Its name at the server.")
    tool = serializers.CharField(help_text="Its name here.")


class DiscoverySerializer(StrictSerializer):
    """What the server offers, by the tools' names there, compared with what had been imported before."""

    ok = serializers.BooleanField()
    latency_ms = serializers.FloatField()
    message = serializers.CharField(help_text="Why it could not be reached; empty if it was.")
    server_info = serializers.DictField(help_text="What it says of itself: name, version, protocol.")
    new = serializers.ListField(child=serializers.CharField())
    changed = serializers.ListField(child=serializers.CharField())
    unchanged = serializers.ListField(child=serializers.CharField())
    gone = serializers.ListField(
        child=serializers.CharField(),
        help_text="Imported before, and not there any more. Nothing is deleted.",
    )
    imported = ImportedSerializer(many=True, help_text="Tools that were created or changed just now.")
    refused = RefusedSerializer(many=True, help_text="Tools that could not be imported.")
    example = examples.DISCOVERY

    def to_representation(self, instance: Discovery) -> dict[str, Any]:
        return {
            "ok": not instance.error,
            "latency_ms": instance.latency_ms,
            "message": instance.error,
            "server_info": instance.server_info,
            "new": instance.new,
            "changed": instance.changed,
            "unchanged": instance.unchanged,
            "gone": instance.gone,
            "imported": [{"mcp_tool": there, "tool": here} for there, here in instance.imported.items()],
            "refused": [{"tool": name, "message": why} for name, why in instance.refused.items()],
        }
