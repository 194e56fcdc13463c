"""The routes of models, tools and agents."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.api.base import TenantModelViewSet
from agentplatform.lib.errors import NotFound
from agents import editing, trials, versions
from agents.api import filters, representations, serializers, tool_serializers
from agents.models import Configuration, Version

WRITES = {"update", "partial_update", "destroy", "restore"}
NUMBER = OpenApiParameter("number", int, OpenApiParameter.PATH, description="The version's number.")


def permissions_for(resource: str, **more: str) -> dict[str, str]:
    """Which permission each action of a configuration's viewset needs."""
    read, write = f"read:{resource}", f"write:{resource}"
    return {
        "list": read,
        "retrieve": read,
        "versions": read,
        "create": write,
        "update": write,
        "partial_update": write,
        "restore": write,
        "destroy": f"delete:{resource}",
        **more,
    }


class LockingViewSet(TenantModelViewSet):
    """Changes happen in a transaction that holds the row's lock, so that none is lost."""

    search_fields = ["name", "description"]
    ordering_fields = ["name", "created_at", "updated_at"]

    def get_object(self) -> Any:
        if self.action in WRITES:
            return self.get_queryset().locked(self.actor, self.identifier)
        return super().get_object()

    @transaction.atomic
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().update(request, *args, **kwargs)

    @transaction.atomic
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().destroy(request, *args, **kwargs)

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        serializer.save()


class ConfigurationViewSet(LockingViewSet):
    """What all configurations have: versions, which can be listed and restored."""

    serializer_class: type[serializers.ConfigurationSerializer]

    def perform_destroy(self, instance: Configuration) -> None:
        editing.delete(instance, self.actor)

    def check_restorable(self, version: Version) -> None:
        """Raises PermissionDenied where this version takes more than the kind's own permission."""

    @extend_schema(responses=serializers.VersionSerializer(many=True), filters=False)
    @action(detail=True, filter_backends=[])
    def versions(self, request: Request, **kwargs: Any) -> Response:
        """List the versions

        The newest first. Each is the whole configuration as it stood, with who made it and when.
        """
        instance = self.get_object()
        page = self.paginate_queryset(versions.history(instance.kind, instance))
        return self.get_paginated_response(serializers.VersionSerializer(page, many=True).data)

    @extend_schema(parameters=[NUMBER], request=None)
    @action(detail=True, methods=["post"], url_path=r"versions/(?P<number>[0-9]{1,9})/restore")
    @transaction.atomic
    def restore(self, request: Request, number: str, **kwargs: Any) -> Response:
        """Restore a version

        Makes the configuration what it was then, as a new version. Secrets come back too.
        """
        instance = self.get_object()
        version = versions.history(instance.kind, instance).filter(number=number).first()
        if version is None:
            raise NotFound("Version", number)
        self.check_restorable(version)
        versions.restore(version, self.actor)
        # By its id: the URL may have named it by the name that it has no more.
        return Response(self.get_serializer(self.serializer_class.rows.get(pk=instance.pk)).data)


class ModelViewSet(ConfigurationViewSet):
    """Chat models: where they are asked, with which key, and which stand in when one fails."""

    queryset = representations.models
    serializer_class = serializers.ChatModelSerializer
    filterset_class = filters.ModelFilter
    permissions = permissions_for("model", test="test:model")

    @extend_schema(request=serializers.ModelTrialSerializer, responses=serializers.TrialSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, **kwargs: Any) -> Response:
        """Test a model

        Asks the model one question and answers the latency and its answer, or a classified error. The call
        is paid for like any other and stands in the ledger, without a run.
        """
        body = self.body_of(serializers.ModelTrialSerializer)
        trial = trials.try_model(self.get_object(), self.actor, body.get("message", trials.PROMPT))
        return Response(serializers.TrialSerializer(trial).data)


class ToolViewSet(ConfigurationViewSet):
    """Tools that agents call: functions of this installation, HTTP requests, or other agents."""

    queryset = representations.tools
    serializer_class = tool_serializers.ToolSerializer
    filterset_class = filters.ToolFilter
    permissions = permissions_for("tool", test="test:tool")

    @extend_schema(request=serializers.ToolTrialSerializer, responses=serializers.TrialSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, **kwargs: Any) -> Response:
        """Test a tool

        Calls the tool for real and answers the latency and its result, or a classified error. A tool that
        asks an agent is not called: run the agent itself.
        """
        arguments = self.body_of(serializers.ToolTrialSerializer)["arguments"]
        return Response(serializers.TrialSerializer(trials.try_tool(self.get_object(), arguments)).data)


class AgentViewSet(ConfigurationViewSet):
    """Agents: a model with a system prompt, tools and limits, ready to be run."""

    queryset = representations.agents
    serializer_class = serializers.AgentSerializer
    filterset_class = filters.AgentFilter
    permissions = permissions_for("agent")
