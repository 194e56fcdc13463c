"""The routes of memories."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.api.base import TenantViewSet
from agentplatform.lib.schema import failures
from runs.api.filters import MemoryFilter
from runs.api.memory_serializers import (
    ClearedSerializer,
    ClearQuerySerializer,
    MemoryChangeSerializer,
    MemorySerializer,
    memory_json,
)
from runs.memory import editing
from runs.models import Memory


class MemoryViewSet(
    TenantViewSet,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.DestroyModelMixin,
):
    """What agents remember of one; of everybody in the workspace for those who may see that."""

    queryset = Memory.objects.select_related("user", "agent")
    serializer_class = MemorySerializer
    filterset_class = MemoryFilter
    ordering_fields = ["id", "updated_at"]
    keyset = True
    permissions = {
        "list": "read:memory",
        "retrieve": "read:memory",
        "create": "write:memory",
        "change": "write:memory",
        "destroy": "delete:memory",
        "clear": "delete:memory",
    }

    def perform_create(self, serializer: BaseSerializer[Memory]) -> None:
        given: dict[str, Any] = dict(serializer.validated_data)
        agent, end_user = given.pop("agent", None), given.pop("end_user", "")
        serializer.instance = editing.create(self.actor, _value(given), agent, end_user)

    def perform_destroy(self, instance: Memory) -> None:
        editing.delete(self.actor, instance)

    @extend_schema(request=MemoryChangeSerializer, responses=MemorySerializer)
    def change(self, request: Request, pk: str) -> Response:
        """Correct a memory

        One's own only.
        """
        given = self.body_of(MemoryChangeSerializer)
        return Response(memory_json(editing.change(self.actor, self.get_object(), given)))

    @extend_schema(
        operation_id="memories_clear",
        parameters=[ClearQuerySerializer],
        request=None,
        responses={200: ClearedSerializer, **failures(422)},
        filters=False,
    )
    def clear(self, request: Request) -> Response:
        """Delete all memories

        All of one's own in this workspace, or those of one end user.
        """
        query = ClearQuerySerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        return Response({"deleted": editing.clear(self.actor, query.validated_data.get("user_id"))})


def _value(given: dict[str, Any]) -> dict[str, Any]:
    """Without a topic that is empty."""
    return {name: value for name, value in given.items() if value}
