"""The JSON of tools, field for field as the contract has it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import NamedRelatedField
from agents import tool_rules, validation
from agents.api import examples, representations
from agents.api.fields import HttpRequestSerializer, ObjectField
from agents.api.serializers import COMMON, STAMPS, ConfigurationSerializer
from agents.models import Agent, KnowledgeBase, McpServer, Tool


class ToolSerializer(ConfigurationSerializer):
    rows = representations.tools
    kind = serializers.ChoiceField(source="tool_kind", choices=Tool.ToolKind.choices)
    function = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=100,
        help_text="Kind `function`: its name in this installation.",
    )
    request = HttpRequestSerializer(
        default=None, allow_null=True, help_text="Kind `http`: the request's template."
    )
    secret_headers = serializers.DictField(
        child=serializers.CharField(allow_null=True, max_length=4000),
        write_only=True,
        required=False,
        allow_null=True,
        help_text="Header → value, stored encrypted and never shown. Left out: unchanged. A null value "
        "removes a header, null itself all of them.",
    )
    secret_header_hints = serializers.DictField(
        child=serializers.CharField(), read_only=True, help_text="Header → the value's last characters."
    )
    agent = NamedRelatedField(
        queryset=Agent.objects.all(),
        default=None,
        allow_null=True,
        help_text="Kind `agent`: name or id of the agent that the tool asks.",
    )
    mcp_server = NamedRelatedField(
        queryset=McpServer.objects.all(),
        default=None,
        allow_null=True,
        help_text="Kind `mcp`: name or id of the MCP server whose tool it is. Discovering it makes such tools.",
    )
    mcp_tool = serializers.CharField(
        default="", allow_blank=True, max_length=200, help_text="Kind `mcp`: the tool's name at its server."
    )
    knowledge_base = NamedRelatedField(
        queryset=KnowledgeBase.objects.all(),
        default=None,
        allow_null=True,
        help_text="Kind `knowledge`: name or id of the knowledge base that it searches.",
    )
    arguments_schema = ObjectField(
        default=dict,
        help_text="JSON Schema (Draft 2020-12) of the arguments. Kind `function`: its own, if left out. Kind "
        "`agent`: always one `message`. Kind `knowledge`: always one `query`.",
    )
    timeout_seconds = serializers.IntegerField(
        default=30,
        min_value=1,
        max_value=600,
        help_text="Of one call. Without effect on kind `agent`: its runs have limits of their own.",
    )
    idempotent = serializers.BooleanField(default=False, help_text="May be called again after a crash.")
    requires_approval = serializers.BooleanField(
        default=False, help_text="Each call waits until a person has approved it."
    )
    approval_timeout_seconds = serializers.IntegerField(
        default=None,
        allow_null=True,
        min_value=1,
        max_value=31_536_000,
        help_text="How long a call waits for a person. Null: for ever.",
    )
    approval_default = serializers.ChoiceField(
        choices=Tool.ApprovalDefault.choices,
        default=Tool.ApprovalDefault.REJECT,
        help_text="What happens to a call for which nobody has decided in time.",
    )

    example = examples.TOOL

    class Meta:
        model = Tool
        fields = [
            *COMMON,
            "kind",
            "function",
            "request",
            "secret_headers",
            "secret_header_hints",
            "agent",
            "mcp_server",
            "mcp_tool",
            "knowledge_base",
            "arguments_schema",
            "timeout_seconds",
            "idempotent",
            "requires_approval",
            "approval_timeout_seconds",
            "approval_default",
            *STAMPS,
        ]

    def validate_name(self, value: str) -> str:
        tool_rules.check_tool_name(value)
        if self.instance:
            tool_rules.check_rename(self.instance, value)
        return super().validate_name(value)

    def validate_request(self, value: dict[str, Any] | None) -> dict[str, Any]:
        return value or {}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = attrs.get("secret_headers", {})
        stored = getattr(self.instance, "secret_headers", {})
        kept = [] if given is None else [name for name in stored if name not in given]
        for name, value in (given or {}).items():
            validation.check_secret_value(f"secret_headers.{name}", value or "")
        parts = tool_rules.ToolParts(
            kind=self.after(attrs, "tool_kind", ""),
            function=self.after(attrs, "function", ""),
            request=self.after(attrs, "request", {}),
            header_names=[*kept, *(given or {})],
            arguments_schema=self.after(attrs, "arguments_schema", {}),
            agent=self.after(attrs, "agent", None),
            mcp_server=self.after(attrs, "mcp_server", None),
            mcp_tool=self.after(attrs, "mcp_tool", ""),
            knowledge_base=self.after(attrs, "knowledge_base", None),
        )
        tool_rules.check_tool(parts, self.instance)
        tool_rules.check_headers_kept(self.instance, parts.request, kept)
        description = tool_rules.described(
            self.after(attrs, "description", ""), parts.agent or parts.knowledge_base
        )
        return {**attrs, "description": description}

    def to_representation(self, instance: Tool) -> dict[str, Any]:
        return representations.tool_json(instance)
