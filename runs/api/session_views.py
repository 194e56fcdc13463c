"""The synchronous routes of sessions; speaking in one is in `chat`."""

from __future__ import annotations

from typing import cast

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.api.base import TenantModelViewSet
from agentplatform.lib.errors import Invalid
from runs import sessions
from runs.api.filters import SessionFilter
from runs.api.session_serializers import MessageSerializer, SessionSerializer
from runs.models import Message, Session

MESSAGE_ORDERS = {"created_at": ("created_at", "id"), "-created_at": ("-created_at", "-id")}
MESSAGE_ORDER = OpenApiParameter(
    "ordering", str, enum=list(MESSAGE_ORDERS), description="Default: created_at."
)


def order_of(request: Request) -> tuple[str, str]:
    """How a history is to be ordered. Raises Invalid."""
    order = MESSAGE_ORDERS.get(request.query_params.get("ordering", "created_at"))
    if order is None:
        raise Invalid({"ordering": f"Order by one of: {', '.join(MESSAGE_ORDERS)}."})
    return order


class SessionViewSet(TenantModelViewSet):
    """Conversations: one's own, and everybody's for those who may see them."""

    queryset = Session.objects.select_related("agent")
    serializer_class = SessionSerializer
    filterset_class = SessionFilter
    search_fields = ["title"]
    ordering_fields = ["id", "updated_at"]
    keyset = True
    permissions = {
        "list": "read:session",
        "retrieve": "read:session",
        "history": "read:session",
        "create": "write:session",
        "update": "write:session",
        "partial_update": "write:session",
        "destroy": "delete:session",
    }

    def get_queryset(self) -> QuerySet[Session]:
        found = super().get_queryset()
        return found if self.action in ("history", "destroy") else sessions.with_state(found)

    def perform_create(self, serializer: BaseSerializer[Session]) -> None:
        serializer.instance = sessions.create_session(self.actor, **serializer.validated_data)

    def perform_update(self, serializer: BaseSerializer[Session]) -> None:
        session = cast(Session, serializer.instance)
        sessions.change_session(self.actor, session, **serializer.validated_data)

    def perform_destroy(self, instance: Session) -> None:
        sessions.delete_session(self.actor, instance)

    @extend_schema(responses=MessageSerializer(many=True), filters=False, parameters=[MESSAGE_ORDER])
    @action(detail=True, filter_backends=[], keyset=False)
    def history(self, request: Request, pk: str) -> Response:
        """Read the history of a session

        Its messages, the oldest first, or with `ordering=-created_at` the newest.
        """
        messages = Message.objects.filter(session_id=self.get_object().pk).order_by(*order_of(request))
        page = self.paginate_queryset(messages)
        return self.get_paginated_response(MessageSerializer(page, many=True).data)
