"""Following a run over HTTP: as server-sent events, or by waiting for its end."""

from __future__ import annotations

import asyncio
import uuid
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from accounts import limits
from accounts.actor import Actor
from accounts.actors import bind_to_logs
from accounts.authentication import actor_from_request, actor_from_ticket, refuse_credentials_in_url
from accounts.throttling import client_address
from agentplatform.lib.async_views import async_view, json_answer, number_in_query, whole_number
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.schema import failures
from runs.api.examples import EVENT_STREAM
from runs.api.representations import Json, run_json
from runs.api.serializers import RunSerializer
from runs.api.views import last_steps
from runs.follow import Follower
from runs.models import TERMINAL, Run
from runs.sse import EventStream, stream_response

WAIT_SECONDS = 30
LONGEST_WAIT_SECONDS = 300
LARGEST_SEQ = 10**18

RUN_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="Id of the run.")
STREAMED = OpenApiExample("Events", EVENT_STREAM, media_type="text/event-stream", response_only=True)


@async_view(
    "GET",
    permission="read:run",
    operation_id="runs_wait",
    parameters=[
        RUN_ID,
        OpenApiParameter(
            "timeout", int, description=f"Seconds, 0 to {LONGEST_WAIT_SECONDS}. Default: {WAIT_SECONDS}."
        ),
    ],
    responses={200: RunSerializer, 202: RunSerializer, **failures(422)},
)
async def wait(request: HttpRequest, pk: str) -> HttpResponseBase:
    """Wait for the end of a run

    Answers 200 with the run when it has ended, or 202 with its present state when the time is over.
    """
    seconds = number_in_query(request, "timeout", WAIT_SECONDS, LONGEST_WAIT_SECONDS)
    actor, run = await in_thread(_readable, request, pk)
    bind_to_logs(actor)
    if run.status not in TERMINAL:
        await _until_end(run, seconds)
    ended, shown = await in_thread(_show, run.pk)
    return json_answer(shown, HTTPStatus.OK if ended else HTTPStatus.ACCEPTED)


@async_view(
    "GET",
    permission="read:run",
    operation_id="runs_stream",
    parameters=[
        RUN_ID,
        OpenApiParameter(
            "after", int, description="The last `seq` that you have. Default: 0, from the start."
        ),
        OpenApiParameter(
            "Last-Event-ID",
            int,
            OpenApiParameter.HEADER,
            description="The same; browsers send it by themselves.",
        ),
        OpenApiParameter(
            "ticket", str, description="From /auth/ticket, for EventSource, which sends no headers."
        ),
    ],
    responses={
        (200, "text/event-stream"): OpenApiTypes.STR,
        204: None,
        **failures(422),
    },
    examples=[STREAMED],
)
async def stream(request: HttpRequest, pk: str) -> HttpResponseBase:
    """Follow a run live

    Server-sent events: what has happened after `Last-Event-ID` or `after`, then what happens, until the run
    ends; without holes or repeats. `id` is `seq`, `event` the type, the data line the event's data. A run
    that has ended and has nothing more to tell answers 204, which keeps browsers from connecting again.
    """
    after = _after(request)
    actor, run = await in_thread(_readable, request, pk)
    bind_to_logs(actor)
    if run.status in TERMINAL and run.last_seq <= after:
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    return stream_response(EventStream(Follower(run.pk, after)))


def _readable(request: HttpRequest, run_id: str) -> tuple[Actor, Run]:
    """The caller and the run, if it may be read. Raises NotAuthenticated, PermissionDenied or NotFound."""
    actor = caller(request)
    actor.require("read:run")
    return actor, Run.objects.only("id", "status", "last_seq").named(actor, run_id)


def caller(request: HttpRequest, *, has_effect: bool = False, rate: str = "") -> Actor:
    """By the headers, the session cookie, or a ticket in the query, which is used up; counted for its limits."""
    query = request.GET.dict()
    ticket = query.pop("ticket", "")
    if not ticket:
        return actor_from_request(request, has_effect=has_effect, rate=rate)
    refuse_credentials_in_url(query)
    actor = actor_from_ticket(ticket, client_address(request))
    request.actor = actor  # type: ignore[attr-defined]
    limits.admit(request, actor, rate)
    return actor


def _after(request: HttpRequest) -> int:
    """A browser that connects again says in a header how far it came; its URL still has the first `after`."""
    if seen := request.headers.get("Last-Event-ID"):
        return whole_number(seen, "Last-Event-ID", LARGEST_SEQ)
    return number_in_query(request, "after", 0, LARGEST_SEQ)


async def _until_end(run: Run, seconds: float) -> None:
    """Returns when the run has ended, the time is over, or the process stops."""
    follower = Follower(run.pk, run.last_seq)
    try:
        async with asyncio.timeout(seconds):
            async for _ in follower.batches():
                pass
    except TimeoutError:
        return
    finally:
        follower.close()


def _show(run_id: uuid.UUID) -> tuple[bool, Json]:
    versions = ("agent_version", "workflow_version")
    rows = Run.objects.select_related(*versions).defer(*(f"{version}__data" for version in versions))
    run = rows.get(pk=run_id)
    return run.status in TERMINAL, run_json(run, last_steps(run_id))
