"""The routes of what has been said: read, searched, exported."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.api.base import TenantViewSet
from accounts.audit import Action
from agentplatform.lib.pagination import DEFAULT_LIMIT, MAX_LIMIT, offset_of, whole_number
from agentplatform.lib.schema import failures
from runs import sessions
from runs.api.history_serializers import (
    ExportQuerySerializer,
    FoundSerializer,
    MessagesQuerySerializer,
    SearchQuerySerializer,
    of_branch,
)
from runs.api.session_serializers import MessageSerializer
from runs.conversations import exports, search
from runs.conversations.shown import complete
from runs.models import Message, Session

SESSION = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="Id of the session.")
PAGE = [
    OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}. Default: {DEFAULT_LIMIT}."),
    OpenApiParameter("offset", int, description="Default: 0."),
]


class HistoryViewSet(TenantViewSet):
    """What has been said in one's own sessions, and in everybody's for those who may see them."""

    queryset = Session.objects.all()
    serializer_class = MessageSerializer
    filter_backends = []
    permissions = {
        "messages": "read:session",
        "latest": "read:session",
        "search": "read:session",
        "search_all": "read:session",
        "export": "read:session",
    }

    @extend_schema(
        parameters=[SESSION, MessagesQuerySerializer, *PAGE], responses=MessageSerializer(many=True)
    )
    def messages(self, request: Request, pk: str) -> Response:
        """Read the messages of a session

        Of the branch that is shown, the oldest first; of a time, of one who speaks, or of one type.
        """
        return self._messages(Message.objects.filter(session_id=self.get_object().pk))

    @extend_schema(parameters=[MessagesQuerySerializer, *PAGE], responses=MessageSerializer(many=True))
    def latest(self, request: Request) -> Response:
        """Read the messages of the latest session

        Of the caller's own, the one in which something has happened last.
        """
        session = sessions.latest_session(self.actor)
        return self._messages(Message.objects.filter(session=session) if session else Message.objects.none())

    @extend_schema(
        operation_id="history_session_search",
        parameters=[SESSION, SearchQuerySerializer, *PAGE],
        responses=FoundSerializer(many=True),
    )
    def search(self, request: Request, pk: str) -> Response:
        """Search a session

        The best match first, with the places that match.
        """
        return self._search(self.get_object())

    @extend_schema(
        operation_id="history_search",
        parameters=[SearchQuerySerializer, *PAGE],
        responses=FoundSerializer(many=True),
    )
    def search_all(self, request: Request) -> Response:
        """Search all sessions

        Those that one may read. Of very many matches the newest are ranked.
        """
        return self._search(None)

    @extend_schema(
        parameters=[SESSION, ExportQuerySerializer],
        responses={
            (200, "application/json"): OpenApiResponse(OpenApiTypes.OBJECT, "`session` and `messages`."),
            (200, "application/x-ndjson"): OpenApiResponse(OpenApiTypes.STR, "A message per line."),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "A message per row, the header first."),
            (200, "text/markdown"): OpenApiResponse(OpenApiTypes.STR, "For people."),
            **failures(422),
        },
    )
    def export(self, request: Request, pk: str) -> HttpResponseBase:
        """Export a session

        As JSON, JSON Lines, CSV or Markdown, streamed however long it is.
        """
        chosen = self._query(ExportQuerySerializer)
        session, name = self.get_object(), chosen["format"]
        found = _narrowed(Message.objects.filter(session_id=session.pk), chosen)
        audit.record(Action.EXPORTED, audit.thing(session), after={"format": name})
        response = StreamingHttpResponse(
            exports.pieces(session, found, name), content_type=exports.formats[name].content_type
        )
        response["Content-Disposition"] = f'attachment; filename="{exports.filename(session, name)}"'
        response["X-Content-Type-Options"] = "nosniff"
        response["Cache-Control"] = "no-store"
        return response

    def _messages(self, messages: QuerySet[Message]) -> Response:
        found = _narrowed(messages, self._query(MessagesQuerySerializer))
        page = list(self.paginate_queryset(found.order_by("created_at", "id")) or ())
        complete(page)
        return self.get_paginated_response(MessageSerializer(page, many=True).data)

    def _search(self, session: Session | None) -> Response:
        chosen = self._query(SearchQuerySerializer)
        wanted = search.Wanted(
            chosen["q"],
            session.pk if session else None,
            chosen.get("start_time"),
            chosen.get("end_time"),
            chosen["mine"],
        )
        limit = whole_number(self.request, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        offset = offset_of(self.request)
        found, total = search.search(self.actor, wanted, limit, offset)
        complete([one.message for one in found])
        items = FoundSerializer(found, many=True).data
        has_more = offset + len(items) < total
        return Response(
            {
                "total": total,
                "total_is_capped": total >= search.RANKED,
                "limit": limit,
                "offset": offset,
                "has_more": has_more,
                "items": items,
            }
        )

    def _query(self, serializer_class: Any) -> dict[str, Any]:
        """The query's own parameters, validated; those of the page are read apart."""
        given = {
            name: value
            for name, value in self.request.query_params.items()
            if name not in ("limit", "offset")
        }
        serializer = serializer_class(data=given)
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data
        return values


def _narrowed(messages: QuerySet[Message], chosen: dict[str, Any]) -> QuerySet[Message]:
    lookups = {
        "start_time": "created_at__gte",
        "end_time": "created_at__lt",
        "source": "source",
        "type": "type",
    }
    narrowed = messages.filter(**{lookups[name]: value for name, value in chosen.items() if name in lookups})
    return of_branch(narrowed, chosen["branch"])
