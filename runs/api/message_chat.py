"""Messages said otherwise, and answered once more: as chat in a session, in the place of what was said before."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from accounts.actor import Actor
from agentplatform.lib.async_views import async_view, read_json, validated
from agentplatform.lib.errors import NotFound
from agentplatform.lib.ids import as_uuid
from agentplatform.lib.schema import failures
from runs import live
from runs.api.chat import SESSION_ID, Chat, answer, chatting_actor, said_in
from runs.api.session_serializers import (
    EditMessageSerializer,
    RegenerateSerializer,
    SessionChatAnswerSerializer,
)
from runs.api.streams import STREAMED
from runs.commands import Started
from runs.conversations import verbs
from runs.conversations.shown import complete

MESSAGE_ID = OpenApiParameter(
    "message_id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="Id of the message."
)
ANSWERS: dict[Any, Any] = {
    (200, "text/event-stream"): OpenApiTypes.STR,
    (202, "application/json"): SessionChatAnswerSerializer,
    **failures(402, 404, 409),
}


@async_view(
    "POST",
    permission="execute:agent",
    operation_id="sessions_message_edit",
    parameters=[SESSION_ID, MESSAGE_ID],
    request=EditMessageSerializer,
    responses=ANSWERS,
    examples=[STREAMED],
)
async def edit(request: HttpRequest, pk: str, message_id: str) -> HttpResponseBase:
    """Edit a message

    Says a message of the user otherwise and starts the run that answers it. The message and all that came after it
    are kept as another branch of the conversation, to which `/select` goes back. 409 while a run of the session is
    under way, unless `multitask_strategy` ends it.
    """
    return await answer(request, partial(_begin_edit, pk=pk, message_id=message_id))


@async_view(
    "POST",
    permission="execute:agent",
    operation_id="sessions_message_regenerate",
    parameters=[SESSION_ID, MESSAGE_ID],
    request=RegenerateSerializer,
    responses=ANSWERS,
    examples=[STREAMED],
)
async def regenerate(request: HttpRequest, pk: str, message_id: str) -> HttpResponseBase:
    """Regenerate an answer

    Asks again what a message asks, or is the answer of. The earlier answer, and all that came after it, are kept as
    another branch, as when a message is edited.
    """
    return await answer(request, partial(_begin_again, pk=pk, message_id=message_id))


def _begin_edit(request: HttpRequest, run_id: uuid.UUID, pk: str, message_id: str) -> Chat:
    actor = chatting_actor(request)
    values = validated(EditMessageSerializer, read_json(request))
    key, strategy = session_key(pk), values.get("multitask_strategy")
    started = verbs.edit(
        actor, key, message_id, values["content"], strategy, run_id, values.get("attachments")
    )
    return _chat(actor, key, started, values["stream"])


def _begin_again(request: HttpRequest, run_id: uuid.UUID, pk: str, message_id: str) -> Chat:
    actor = chatting_actor(request)
    values = validated(RegenerateSerializer, read_json(request))
    key, strategy = session_key(pk), values.get("multitask_strategy")
    started = verbs.regenerate(actor, key, message_id, strategy, run_id)
    return _chat(actor, key, started, values["stream"])


def _chat(actor: Actor, key: uuid.UUID, started: Started, streamed: bool) -> Chat:
    assert started.message
    complete([started.message])
    live.announce(started.others)
    return said_in(actor, key, started, streamed)


def session_key(pk: str) -> uuid.UUID:
    """Raises NotFound."""
    if (key := as_uuid(pk)) is None:
        raise NotFound("Session", pk)
    return key
