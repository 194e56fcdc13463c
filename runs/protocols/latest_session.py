"""`POST /chat` and `GET /history` without a prefix: on the caller's latest session."""

from __future__ import annotations

import uuid

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path

from agentplatform.lib.async_views import answering, read_json, validated
from runs import sessions
from runs.api.chat import Chat, answer, chatting_actor, say_in
from runs.api.history_views import HistoryViewSet
from runs.api.session_serializers import SessionChatSerializer


@answering("POST")
async def chat(request: HttpRequest) -> HttpResponseBase:
    """Puts a message into the caller's latest session, or a new one; the body and the answer are `session_chat`'s."""
    return await answer(request, _begin)


def _begin(request: HttpRequest, run_id: uuid.UUID) -> Chat:
    actor = chatting_actor(request)
    values = validated(SessionChatSerializer, read_json(request))
    session = sessions.latest_session(actor) or sessions.create_session(actor)
    return say_in(actor, session.pk, values, run_id)


urlpatterns = [
    path("chat", chat, name="latest-chat"),
    path("history", HistoryViewSet.as_view({"get": "latest"}), name="latest-history"),
]
