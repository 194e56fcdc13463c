"""Chat: a message in, the answer out, as it comes or when it is whole.

The platform's hottest path. One hop to a thread does everything that asks the database; the follower stands
before the run is queued, so that no event has to be read back from the table.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from accounts.actor import Actor
from accounts.actors import bind_to_logs
from accounts.authentication import actor_from_request
from agentplatform.lib.async_views import async_view, json_answer, read_json, validated
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.error_format import error_response
from agentplatform.lib.errors import NotFound
from agentplatform.lib.ids import as_uuid, uuid7
from agentplatform.lib.schema import failures
from runs import live
from runs.api.representations import message_json, session_json
from runs.api.serializers import ChatAnswerSerializer, ChatRestSerializer, ChatSerializer, run_request
from runs.api.session_serializers import SessionChatAnswerSerializer, SessionChatSerializer
from runs.api.streams import STREAMED
from runs.approvals import pending_of
from runs.commands import Started, start_run
from runs.conversations.shown import complete
from runs.events import EventType
from runs.follow import Follower
from runs.models import Run, Session, Status
from runs.outcomes import RESTS, data_of, failure, last_move
from runs.sessions import say, with_state
from runs.sse import EventStream, stream_response

SESSION_ID = OpenApiParameter(
    "id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="Id of the session."
)


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat that has begun."""

    actor: Actor
    started: Started
    streamed: bool
    answer: dict[str, Any] | None = None
    """What is answered where neither the stream nor the run's end is waited for."""


@async_view(
    "POST",
    permission="execute:agent",
    operation_id="chat",
    request=ChatSerializer,
    responses={
        (200, "application/json"): ChatAnswerSerializer,
        (200, "text/event-stream"): OpenApiTypes.STR,
        (202, "application/json"): ChatRestSerializer,
        **failures(402, 404, 409),
    },
    examples=[STREAMED],
)
async def chat(request: HttpRequest) -> HttpResponseBase:
    """Chat with an agent

    Runs the agent on a message. Streamed, the answer is the run's events as they happen; a failure is
    `run_failed`, then `error`. With `stream: false` it is one document when the run has ended, and a failed
    run is an HTTP error that names the run: 503 where a repeat may help, 402, 422 or 500. Where the run comes to
    rest before, because a person has to decide something or it was paused, it is 202 and says what for. The run
    goes on should the connection break; follow it by its id.
    """
    return await answer(request, _begin_chat)


@async_view(
    "POST",
    permission="execute:agent",
    operation_id="sessions_chat",
    parameters=[SESSION_ID],
    request=SessionChatSerializer,
    responses={
        (200, "text/event-stream"): OpenApiTypes.STR,
        (202, "application/json"): SessionChatAnswerSerializer,
        **failures(402, 404, 409),
    },
    examples=[STREAMED],
)
async def session_chat(request: HttpRequest, pk: str) -> HttpResponseBase:
    """Chat in a session

    Puts a message into the conversation and starts the run that answers it. Messages sent at once are
    answered in their order. The answer is the session's next message; with `stream: true` it is streamed.
    """
    return await answer(request, partial(_begin_session_chat, pk=pk))


async def answer(request: HttpRequest, begin: Callable[[HttpRequest, uuid.UUID], Chat]) -> HttpResponseBase:
    """What a chat that `begin` begins is answered: a stream, one document at the run's end, or at once."""
    run_id = uuid7()
    follower = Follower(run_id)
    try:
        begun = await in_thread(begin, request, run_id)
        bind_chat_to_logs(begun)
        if begun.answer is not None:
            follower.close()
            return json_answer(begun.answer, HTTPStatus.ACCEPTED)
        if not begun.streamed:
            return await _whole_answer(request, follower, begun.started)
    except BaseException:
        follower.close()
        raise
    return stream_response(EventStream(follower, begun.started.events, explain_failure=True))


def _begin_chat(request: HttpRequest, run_id: uuid.UUID) -> Chat:
    actor = chatting_actor(request)
    values = validated(ChatSerializer, read_json(request))
    started = start_run(actor, run_request(values), run_id=run_id)
    live.announce(started.others)
    return Chat(actor, started, values["stream"])


def _begin_session_chat(request: HttpRequest, run_id: uuid.UUID, pk: str) -> Chat:
    actor = chatting_actor(request)
    values = validated(SessionChatSerializer, read_json(request))
    if (key := as_uuid(pk)) is None:
        raise NotFound("Session", pk)
    return say_in(actor, key, values, run_id)


def say_in(actor: Actor, key: uuid.UUID, values: dict[str, Any], run_id: uuid.UUID) -> Chat:
    """Puts a message, of SessionChatSerializer's shape, into a session."""
    started = say(
        actor,
        key,
        values["content"],
        source=values["source"],
        kind=values["type"],
        strategy=values.get("multitask_strategy"),
        attachment_ids=values["attachments"],
        run_id=run_id,
    )
    live.announce(started.others)
    if values["attachments"] and started.message:
        complete([started.message])
    return said_in(actor, key, started, values["stream"])


def said_in(actor: Actor, key: uuid.UUID, started: Started, streamed: bool) -> Chat:
    """The chat of a run that answers a message of a session."""
    if streamed:
        return Chat(actor, started, streamed=True)
    assert started.message
    session = with_state(Session.objects.select_related("agent")).get(pk=key)
    # The message is not read again: a later one may have taken it back already.
    message = message_json(started.message)
    answer = {"run_id": str(started.run.pk), "session": session_json(session), "message": message}
    return Chat(actor, started, streamed=False, answer=answer)


def chatting_actor(request: HttpRequest) -> Actor:
    """The caller. Raises NotAuthenticated, PermissionDenied, or RateLimited."""
    actor = actor_from_request(request, rate="chat")
    actor.require("execute:agent")
    return actor


def bind_chat_to_logs(begun: Chat) -> None:
    bind_to_logs(begun.actor)
    structlog.contextvars.bind_contextvars(run_id=str(begun.started.run.pk))


async def _whole_answer(request: HttpRequest, follower: Follower, started: Started) -> HttpResponseBase:
    """The run's answer, the error that its failure is, or why there is none for now."""
    last = await last_move(follower, started.events)
    data = await data_of(last)
    if last.type == EventType.RUN_COMPLETED:
        metrics = {name: data["metrics"][name] for name in ("total_tokens", "duration")}
        return json_answer({"run_id": str(last.run_id), "response": data["response"], "metrics": metrics})
    if last.type in RESTS:
        return json_answer(await in_thread(_rest, started.run, last.type, data), HTTPStatus.ACCEPTED)
    return error_response(request, failure(last, data))


def _rest(run: Run, event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    """What a chat is answered whose run rests."""
    head = {"run_id": str(run.pk)}
    if event_type == EventType.RUN_WAITING:
        return {**head, "status": Status.WAITING, "approval_ids": [str(key) for key in pending_of(run)]}
    return {**head, "status": Status.PAUSED} | {name: data[name] for name in ("reason",) if name in data}
