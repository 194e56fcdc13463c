"""The workspace's default agent, asked directly: in one request, or by a browser's `EventSource`."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import serializers

from agentplatform.lib.async_views import async_view, read_json, validated
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import Invalid
from agentplatform.lib.ids import as_uuid, uuid7
from agentplatform.lib.schema import failures
from agentplatform.lib.serializers import StrictSerializer
from runs import live
from runs.api.chat import Chat, answer, bind_chat_to_logs, chatting_actor
from runs.api.fields import SessionField, TextField
from runs.api.serializers import ChatAnswerSerializer, ChatRestSerializer, run_request
from runs.api.streams import STREAMED, caller
from runs.commands import start_run
from runs.events import EventType, StoredEvent
from runs.follow import Follower
from runs.models import TERMINAL, Run
from runs.sse import HEARTBEAT, RETRY, stream_response

FRAME = OpenApiExample(
    "Frames",
    'id: 0192f0c1-…:7\ndata: {"type":"content_delta","content":"391","run_id":"0192f0c1-…","seq":7}\n\n',
    media_type="text/event-stream",
    response_only=True,
)


class QuerySerializer(StrictSerializer):
    """A question to the workspace's default agent."""

    message = TextField()
    session_id = SessionField()
    stream = serializers.BooleanField(default=False, help_text="True: the run's events as they happen.")

    example = {"message": "Who supplies solar panels?"}


@async_view(
    "POST",
    permission="execute:agent",
    operation_id="agent_query",
    request=QuerySerializer,
    responses={
        (200, "application/json"): ChatAnswerSerializer,
        (200, "text/event-stream"): OpenApiTypes.STR,
        (202, "application/json"): ChatRestSerializer,
        **failures(402, 404, 409),
    },
    examples=[STREAMED],
)
async def query(request: HttpRequest) -> HttpResponseBase:
    """Ask the default agent

    As `POST /chat` without an agent, and not streamed unless it is asked for.
    """
    return await answer(request, _begin_query)


@async_view(
    "GET",
    permission="execute:agent",
    operation_id="agent_stream",
    parameters=[
        OpenApiParameter("message", str, required=True, description="What the agent is asked."),
        OpenApiParameter("session_id", OpenApiTypes.UUID, description="The conversation that it belongs to."),
        OpenApiParameter(
            "ticket", str, description="From /auth/ticket, for EventSource, which sends no headers."
        ),
    ],
    responses={(200, "text/event-stream"): OpenApiTypes.STR, 204: None, **failures(402, 404, 409, 422)},
    examples=[FRAME],
)
async def stream_query(request: HttpRequest) -> HttpResponseBase:
    """Ask the default agent as a stream

    For `EventSource.onmessage`: frames without a name, `{type, content, …}`. A connection that is made again with
    `Last-Event-ID` goes on with the same run, and starts no other.
    """
    if place := _place(request):
        run_id, after = place
        run = await in_thread(_followed, request, run_id)
        if run.status in TERMINAL and run.last_seq <= after:
            return HttpResponse(status=204)
        return stream_response(_Frames(Follower(run_id, after)))
    run_id = uuid7()
    follower = Follower(run_id)
    try:
        begun = await in_thread(_begin_stream, request, run_id)
        bind_chat_to_logs(begun)
    except BaseException:
        follower.close()
        raise
    return stream_response(_Frames(follower, begun.started.events))


class _Frames:
    """A run's events as unnamed frames. `close` is called by Django however the response ends."""

    def __init__(self, follower: Follower, known: Sequence[StoredEvent] | None = None) -> None:
        self._follower = follower
        self._known = known

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield RETRY
        async for batch in self._follower.batches(self._known):
            yield b"".join(map(_frame, batch)) if batch else HEARTBEAT
        if not self._follower.ended:
            yield RETRY

    def close(self) -> None:
        self._follower.close()


def _frame(event: StoredEvent) -> bytes:
    data = orjson.loads(event.data)
    if event.type == EventType.RUN_COMPLETED:
        data["content"] = data.get("response", "")
    head = {"type": event.type, **data, "run_id": str(event.run_id), "seq": event.seq}
    return f"id: {event.run_id}:{event.seq}\n".encode() + b"data: " + orjson.dumps(head) + b"\n\n"


def _place(request: HttpRequest) -> tuple[uuid.UUID, int] | None:
    """How far a browser that connects again came, in which run."""
    name, _, seq = request.headers.get("Last-Event-ID", "").partition(":")
    run_id = as_uuid(name)
    return (run_id, int(seq)) if run_id and seq.isascii() and seq.isdigit() and len(seq) < 19 else None


def _followed(request: HttpRequest, run_id: uuid.UUID) -> Run:
    actor = caller(request)
    actor.require("read:run")
    run: Run = Run.objects.only("id", "status", "last_seq").named(actor, run_id)
    return run


def _begin_query(request: HttpRequest, run_id: uuid.UUID) -> Chat:
    actor = chatting_actor(request)
    values = validated(QuerySerializer, read_json(request))
    started = start_run(actor, run_request(values), run_id=run_id)
    return Chat(actor, started, values["stream"])


def _begin_stream(request: HttpRequest, run_id: uuid.UUID) -> Chat:
    actor = caller(request, has_effect=True, rate="chat")
    actor.require("execute:agent")
    values = validated(QuerySerializer, _wanted(request))
    started = start_run(actor, run_request(values), run_id=run_id)
    live.announce(started.others)
    return Chat(actor, started, streamed=True)


def _wanted(request: HttpRequest) -> dict[str, Any]:
    given = {name: value for name, value in request.GET.items() if name != "ticket"}
    if "message" not in given:
        raise Invalid({"message": "Say what the agent is asked."})
    return given
