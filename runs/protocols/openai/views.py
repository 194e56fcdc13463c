"""The two endpoints: which agents there are, and what one of them says."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.actor import Actor
from accounts.actors import bind_to_logs
from accounts.authentication import actor_from_request
from agentplatform.lib.async_views import answering, json_answer, read_json
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.error_format import error_response
from agentplatform.lib.errors import NotFound, PlatformError
from agentplatform.lib.ids import uuid7
from agents.models import Agent
from runs import live
from runs.api.chat import chatting_actor
from runs.commands import Started, start_run
from runs.follow import Follower
from runs.outcomes import last_move
from runs.protocols.openai.answers import Head, answer_at, completion_json, model_json
from runs.protocols.openai.requests import Completion, parse
from runs.protocols.openai.streaming import CompletionStream
from runs.sse import stream_response

Json = dict[str, Any]
RUN_HEADER = "X-Run-ID"


@answering("GET")
async def models(request: HttpRequest) -> HttpResponseBase:
    """The workspace's agents, as models."""
    return json_answer({"object": "list", "data": await in_thread(_models, request)})


@answering("GET")
async def model(request: HttpRequest, pk: str) -> HttpResponseBase:
    """One agent, by its name or id."""
    return json_answer(await in_thread(_model, request, pk))


@answering("POST")
async def completions(request: HttpRequest) -> HttpResponseBase:
    """Runs an agent on a conversation; the run goes on should the connection break."""
    run_id = uuid7()
    follower = Follower(run_id)
    try:
        begun = await in_thread(_begin, request, run_id)
        _bind_to_logs(begun)
        response = (
            _stream(follower, begun) if begun.asked.streamed else await _whole(request, follower, begun)
        )
    except BaseException:
        follower.close()
        raise
    response.headers[RUN_HEADER] = str(run_id)
    return response


@dataclass(frozen=True, slots=True)
class Begun:
    """A completion whose run has been started."""

    actor: Actor
    asked: Completion
    started: Started

    @property
    def head(self) -> Head:
        run = self.started.run
        return Head(run.pk, run.agent_name, int(run.created_at.timestamp()))


def _begin(request: HttpRequest, run_id: uuid.UUID) -> Begun:
    actor = chatting_actor(request)
    asked = parse(actor, read_json(request))
    started = start_run(actor, asked.run, run_id=run_id)
    live.announce(started.others)
    return Begun(actor, asked, started)


def _bind_to_logs(begun: Begun) -> None:
    bind_to_logs(begun.actor)
    structlog.contextvars.bind_contextvars(run_id=str(begun.started.run.pk))


def _stream(follower: Follower, begun: Begun) -> HttpResponseBase:
    stream = CompletionStream(follower, begun.started, begun.head, counts_usage=begun.asked.counts_usage)
    return stream_response(stream)


async def _whole(request: HttpRequest, follower: Follower, begun: Begun) -> HttpResponseBase:
    try:
        answer = await answer_at(await last_move(follower, begun.started.events))
    except PlatformError as error:
        # It is the run's, and no fault of this request's.
        return error_response(request, error)
    return json_answer(completion_json(begun.head, answer))


def _models(request: HttpRequest) -> list[Json]:
    actor = _reader(request)
    agents = Agent.objects.visible_to(actor).filter(enabled=True).only("name", "created_at")
    return [model_json(agent, actor.workspace_slug) for agent in agents.order_by("name")]


def _model(request: HttpRequest, name: str) -> Json:
    actor = _reader(request)
    agent: Agent = Agent.objects.only("name", "created_at", "enabled").named(actor, name)
    if not agent.enabled:
        raise NotFound("Agent", name)
    return model_json(agent, actor.workspace_slug)


def _reader(request: HttpRequest) -> Actor:
    actor = actor_from_request(request)
    actor.require("read:agent")
    return actor
