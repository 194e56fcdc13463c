"""The synchronous routes of sessions; speaking in one is in `chat`."""

from __future__ import annotations

from typing import cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.api.base import TenantModelViewSet
from agentplatform.lib.async_views import validated
from agentplatform.lib.filtering import PAGING
from runs import sessions
from runs.api.filters import SessionFilter
from runs.api.history_serializers import HistoryQuerySerializer, of_branch
from runs.api.session_serializers import MessageSerializer, SessionSerializer
from runs.conversations.shown import complete
from runs.models import Message, Session


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

    @extend_schema(parameters=[HistoryQuerySerializer], responses=MessageSerializer(many=True), filters=False)
    @action(detail=True, filter_backends=[], keyset=False)
    def history(self, request: Request, pk: str) -> Response:
        """Read the history of a session

        The messages of the branch that is shown, the oldest first, or with `ordering=-created_at` the newest.
        """
        chosen = validated(HistoryQuerySerializer, _chosen(request))
        messages = of_branch(Message.objects.filter(session_id=self.get_object().pk), chosen["branch"])
        sign = "-" if chosen["ordering"].startswith("-") else ""
        page = list(self.paginate_queryset(messages.order_by(f"{sign}created_at", f"{sign}id")) or ())
        complete(page)
        return self.get_paginated_response(MessageSerializer(page, many=True).data)


def _chosen(request: Request) -> dict[str, str]:
    """The query's parameters but those of the page."""
    return {name: request.query_params[name] for name in request.query_params if name not in PAGING}
