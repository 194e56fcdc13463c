"""What the lists of models, tools and agents can be narrowed by."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from agentplatform.lib.filtering import BooleanFilter
from agentplatform.lib.ids import as_uuid
from agents.models import Agent, ChatModel, Tool
from agents.providers.base import registry


def related_to(name: str, label: str) -> filters.CharFilter:
    """Rows whose relation `name` has this id or name."""

    def narrow(queryset: QuerySet[Any], _: str, value: str) -> QuerySet[Any]:
        key = as_uuid(value)
        return queryset.filter(Q(**{f"{name}__pk": key}) if key else Q(**{f"{name}__name": value}))

    return filters.CharFilter(method=lambda *arguments: narrow(*arguments), label=label)


class ModelFilter(filters.FilterSet):
    provider = filters.ChoiceFilter(choices=[(name, name) for name in registry])
    enabled = BooleanFilter()

    class Meta:
        model = ChatModel
        fields = ["provider", "enabled"]


class ToolFilter(filters.FilterSet):
    kind = filters.ChoiceFilter(field_name="tool_kind", choices=Tool.ToolKind.choices)
    enabled = BooleanFilter()

    class Meta:
        model = Tool
        fields = ["kind", "enabled"]


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
