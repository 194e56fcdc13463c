"""What lists of runs, approvals and sessions can be narrowed by."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet, Subquery
from django_filters import rest_framework as filters

from accounts.permissions import acting
from agentplatform.lib.filtering import BooleanFilter, MomentFilter
from agentplatform.lib.ids import as_uuid, first_uuid7_at
from agents.models import Agent, Workflow
from runs.memory import rows
from runs.models import Approval, Memory, Relation, Run, Schedule, Session, Status, Webhook, WebhookDelivery

# Ids grow with time, so their index finds a time range; they are made a moment before the row's own time, and
# clocks of machines differ.
ID_TOLERANCE = timedelta(hours=1)


class ByAgent(filters.FilterSet):
    """Narrows by an agent's id or name, the end user, and the time of creation."""

    agent_id = filters.CharFilter(method="of_agent", label="Id or name of the agent.")
    user_id = filters.CharFilter(field_name="end_user", label="The client's own end user.")
    created_after = MomentFilter(method="since", label="From this moment (ISO 8601; UTC without an offset).")
    created_before = MomentFilter(method="until", label="Before this moment.")

    def since(self, queryset: QuerySet[Any], _: str, value: datetime) -> QuerySet[Any]:
        return queryset.filter(created_at__gte=value, pk__gte=first_uuid7_at(value, later=-ID_TOLERANCE))

    def until(self, queryset: QuerySet[Any], _: str, value: datetime) -> QuerySet[Any]:
        return queryset.filter(created_at__lt=value, pk__lt=first_uuid7_at(value, later=ID_TOLERANCE))

    def of_agent(self, queryset: QuerySet[Any], _: str, value: str) -> QuerySet[Any]:
        """By the agent's id, which is what is indexed; a name is looked up inside of the same query."""
        if key := as_uuid(value):
            return queryset.filter(agent_id=key)
        named = Agent.objects.visible_to(acting(self.request)).filter(name=value)
        return queryset.filter(agent_id=Subquery(named.values("pk")[:1]))


class RunFilter(ByAgent):
    workflow_id = filters.CharFilter(method="of_workflow", label="Id or name of the workflow.")
    session_id = filters.UUIDFilter(label="Id of the session.")
    # No join makes rows double, and DISTINCT would sort all of them.
    status = filters.MultipleChoiceFilter(
        choices=Status.choices, distinct=False, label="May be given several times."
    )
    tag = filters.CharFilter(method="with_tag", label="Runs with this tag.")
    parent_id = filters.UUIDFilter(label="Id of the run that they were made from.")
    relation = filters.ChoiceFilter(choices=Relation.choices, label="What they are to that run.")
    request_id = filters.CharFilter(
        label="The X-Request-ID of the request that has started them.", max_length=128
    )

    class Meta:
        model = Run
        fields = [
            *("agent_id", "workflow_id", "user_id", "session_id", "status", "tag", "parent_id", "relation"),
            "request_id",
            *("created_after", "created_before"),
        ]

    def with_tag(self, queryset: QuerySet[Any], _: str, value: str) -> QuerySet[Any]:
        return queryset.filter(tags__contains=[value])

    def of_workflow(self, queryset: QuerySet[Any], _: str, value: str) -> QuerySet[Any]:
        if key := as_uuid(value):
            return queryset.filter(workflow_id=key)
        named = Workflow.objects.visible_to(acting(self.request)).filter(name=value)
        return queryset.filter(workflow_id=Subquery(named.values("pk")[:1]))


class ApprovalFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(
        choices=Approval.Status.choices, distinct=False, label="May be given several times. Default: all."
    )
    kind = filters.ChoiceFilter(choices=Approval.Kind.choices, label="Why a person is asked.")
    run_id = filters.UUIDFilter(label="Id of the run that waits.")
    tool = filters.CharFilter(label="Name of the tool.")

    class Meta:
        model = Approval
        fields = ["status", "kind", "run_id", "tool"]


class SessionFilter(ByAgent):
    mine = BooleanFilter(
        method="of_caller", label="true: the caller's own, for those who may see everybody's."
    )

    class Meta:
        model = Session
        fields = ["agent_id", "user_id", "mine", "created_after", "created_before"]

    def of_caller(self, queryset: QuerySet[Any], _: str, value: bool) -> QuerySet[Any]:
        return queryset.filter(user_id=acting(self.request).user_id) if value else queryset


class ScheduleFilter(ByAgent):
    enabled = BooleanFilter()

    class Meta:
        model = Schedule
        fields = ["agent_id", "user_id", "enabled", "created_after", "created_before"]


class MemoryFilter(ByAgent):
    q = filters.CharFilter(
        method="found", label="Words that stand in them, as in searching messages; the best match first."
    )
    owner = filters.CharFilter(field_name="user__username", label="Whose they are: a username.")

    class Meta:
        model = Memory
        fields = ["q", "agent_id", "user_id", "owner", "created_after", "created_before"]

    def found(self, queryset: QuerySet[Any], _: str, value: str) -> QuerySet[Any]:
        return rows.matching(queryset, value)


class WebhookFilter(filters.FilterSet):
    enabled = BooleanFilter()

    class Meta:
        model = Webhook
        fields = ["enabled"]


class DeliveryFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=WebhookDelivery.Status.choices, label="What became of them.")
    type = filters.CharFilter(label="Type of the event.")
    run_id = filters.UUIDFilter(label="Id of the run that they tell of.")

    class Meta:
        model = WebhookDelivery
        fields = ["status", "type", "run_id"]
