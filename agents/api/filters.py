"""What the lists of models, tools and agents can be narrowed by."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from agentplatform.lib.filtering import BooleanFilter
from agentplatform.lib.ids import as_uuid
from agents.models import Agent, ChatModel, Document, McpServer, Tool, Workflow
from agents.providers.base import registry


def related_to(name: str, label: str) -> filters.CharFilter:
    """Rows whose relation `name` has this id or name."""

    def narrow(queryset: QuerySet[Any], _: str, value: str) -> QuerySet[Any]:
        key = as_uuid(value)
        return queryset.filter(Q(**{f"{name}__pk": key}) if key else Q(**{f"{name}__name": value}))

    return filters.CharFilter(method=lambda *arguments: narrow(*arguments), label=label)


class ModelFilter(filters.FilterSet):
    provider = filters.ChoiceFilter(choices=[(name, name) for name in registry])
    purpose = filters.ChoiceFilter(choices=ChatModel.Purpose.choices)
    enabled = BooleanFilter()

    class Meta:
        model = ChatModel
        fields = ["provider", "purpose", "enabled"]


class ToolFilter(filters.FilterSet):
    kind = filters.ChoiceFilter(field_name="tool_kind", choices=Tool.ToolKind.choices)
    mcp_server = related_to("mcp_server", "Name or id of the MCP server")
    enabled = BooleanFilter()

    class Meta:
        model = Tool
        fields = ["kind", "mcp_server", "enabled"]


class McpServerFilter(filters.FilterSet):
    transport = filters.ChoiceFilter(choices=McpServer.Transport.choices)
    health = filters.ChoiceFilter(choices=McpServer.Health.choices)
    enabled = BooleanFilter()

    class Meta:
        model = McpServer
        fields = ["transport", "health", "enabled"]


class AgentFilter(filters.FilterSet):
    tag = filters.CharFilter(method="with_tag", label="Agents with this tag")
    enabled = BooleanFilter()
    is_default = BooleanFilter()
    model = related_to("model", "Name or id of the model")
    tool = related_to("tools", "Name or id of a tool")

    class Meta:
        model = Agent
        fields = ["tag", "enabled", "is_default", "model", "tool"]

    def with_tag(self, queryset: QuerySet[Agent], _: str, value: str) -> QuerySet[Agent]:
        return queryset.filter(tags__contains=[value])


class DocumentFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=Document.Status.choices)

    class Meta:
        model = Document
        fields = ["status"]


class WorkflowFilter(filters.FilterSet):
    tag = filters.CharFilter(method="with_tag", label="Workflows with this tag")
    enabled = BooleanFilter()
    published = BooleanFilter(
        field_name="published", lookup_expr="isnull", exclude=True, label="Whether a version is published"
    )

    class Meta:
        model = Workflow
        fields = ["tag", "enabled", "published"]

    def with_tag(self, queryset: QuerySet[Workflow], _: str, value: str) -> QuerySet[Workflow]:
        return queryset.filter(tags__contains=[value])
