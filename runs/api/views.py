"""The synchronous routes of runs; those that wait or stream are in `streams` and `chat`."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import structlog
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast, Left
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib.async_views import validated
from agentplatform.lib.errors import Invalid, NotFound
from agentplatform.lib.ids import as_uuid
from agentplatform.lib.pagination import whole_number
from agentplatform.lib.schema import failures
from runs import commands, event_log, live
from runs.api import serializers
from runs.api.filters import RunFilter
from runs.api.representations import run_json
from runs.models import Run, RunPayload, RunStep, Status

STEPS_SHOWN = 100
QUERY_SHOWN = 200
MAX_KEY = 255
EVENTS = 100
MAX_EVENTS = 1000
LARGEST_SEQ = 99_999_999_999

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Up to 255 characters. For 24 hours a repeat with the same key answers the first run.",
)
EVENT_RANGE = [
    OpenApiParameter("offset", int, description="The last `seq` that you have. Default: 0, from the start."),
    OpenApiParameter("limit", int, description=f"Events at once, 1 to {MAX_EVENTS}. Default: {EVENTS}."),
]
PAYLOAD_ID = OpenApiParameter(
    "payload_id", str, OpenApiParameter.PATH, description="As the event refers to it."
)
LIST_FIELDS = (
    *(
        "id",
        "agent_id",
        "agent_name",
        "workflow_id",
        "workflow_name",
        "workflow_version_id",
        "end_user",
        "session_id",
        "parent_id",
        "status",
        "attempt",
        "error",
    ),
    *("relation", "source_checkpoint_id", "description"),
    *("tags", "priority", "username", "api_key_name", "input_tokens", "output_tokens", "total_steps"),
    *("cost", "unpriced_calls", "currency"),
    *("has_children", "child_input_tokens", "child_output_tokens", "child_cost", "child_unpriced_calls"),
    *("created_at", "queued_at", "started_at", "finished_at", "updated_at"),
)


class RunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, TenantViewSet):
    """Runs: one's own, and everybody's for those who may see them."""

    queryset = Run.objects.all()
    serializer_class = serializers.RunSerializer
    filterset_class = RunFilter
    search_fields = ["input_query"]
    ordering_fields = ["id"]
    keyset = True
    permissions = {
        "list": "read:run",
        "retrieve": "read:run",
        "events": "read:run",
        "payload": "read:run",
        # Of a workflow `execute:workflow`, which `commands` asks for.
        "create": "execute:agent",
        "start": "control:run",
        "pause": "control:run",
        "resume": "control:run",
        "cancel": "control:run",
        "retry": "control:run",
    }

    def get_queryset(self) -> QuerySet[Run]:
        """As much of the rows as each action shows: texts and JSON are large, and lists are long."""
        runs = super().get_queryset()
        if self.action == "list":
            return runs.only(*LIST_FIELDS).annotate(query_start=Left("input_query", QUERY_SHOWN))
        if self.action == "retrieve":
            versions = ("agent_version", "workflow_version")
            return runs.select_related(*versions).defer(*(f"{version}__data" for version in versions))
        return runs.only("id", "last_seq")

    def get_serializer_class(self) -> Any:
        return serializers.RunItemSerializer if self.action == "list" else serializers.RunSerializer

    def retrieve(self, request: Request, pk: str) -> Response:
        """Read a run

        With its last hundred steps. What it did in between, event by event, is in its events.
        """
        run = self.get_object()
        return Response(run_json(run, last_steps(run.pk)))

    @extend_schema(
        request=serializers.RunRequestSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: serializers.RunSerializer, **failures(402, 404, 409)},
    )
    def create(self, request: Request) -> Response:
        """Start a run

        Answers at once; a worker takes the run up. With `start: false` it is only `created` and waits for
        `/start`. A repeat with the same `Idempotency-Key` returns the first run, or 422 when its body
        differs.
        """
        asked = serializers.run_request(validated(serializers.RunRequestSerializer, request.data))
        started = commands.start_run(self.actor, asked, idempotency_key=idempotency_key(request))
        structlog.contextvars.bind_contextvars(run_id=str(started.run.pk))
        live.announce([*started.others, *started.events])
        steps = last_steps(started.run.pk) if started.repeated else []
        return Response(run_json(started.run, steps), status=202)

    @extend_schema(parameters=EVENT_RANGE, responses=serializers.EventPageSerializer, filters=False)
    @action(detail=True, pagination_class=None, filter_backends=[])
    def events(self, request: Request, pk: str) -> Response:
        """Read the events of a run

        In order of `seq`, which has no holes. To follow a run live, use its stream.
        """
        limit = whole_number(request, "limit", EVENTS, 1, MAX_EVENTS)
        offset = whole_number(request, "offset", 0, 0, LARGEST_SEQ)
        run = self.get_object()
        events = event_log.read(run.pk, offset, limit)
        return Response(
            {
                "run_id": str(run.pk),
                "total": run.last_seq,
                "has_more": bool(events) and events[-1].seq < run.last_seq,
                # Stored as JSON, sent as JSON: decoding it in between would gain nothing.
                "events": [orjson.Fragment(event.envelope()) for event in events],
            }
        )

    @extend_schema(parameters=[PAYLOAD_ID], responses=serializers.PayloadSerializer, filters=False)
    @action(
        detail=True, url_path=r"payloads/(?P<payload_id>[^/]+)", pagination_class=None, filter_backends=[]
    )
    def payload(self, request: Request, pk: str, payload_id: str) -> Response:
        """Read a large payload

        The `data` of an event that is over 64 KB.
        """
        run = self.get_object()
        texts = RunPayload.objects.filter(run_id=run.pk).values_list(Cast("data", TextField()), flat=True)
        key = as_uuid(payload_id)
        if key is None or (text := texts.filter(pk=key).first()) is None:
            raise NotFound("Payload", payload_id)
        return Response({"id": str(key), "run_id": str(run.pk), "data": orjson.Fragment(text)})

    @extend_schema(request=None, responses=serializers.VerbSerializer)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        """Start a created run

        One that was made with `start: false`. One that is queued or running is left alone; one that rests, or has
        ended, answers 409.
        """
        run = self.get_object()
        status, events = commands.enqueue_run(self.actor, run.pk)
        live.announce(events)
        return done(run.pk, status, f"The run is {status}.")

    @extend_schema(request=None, responses=serializers.VerbSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Pause a run

        It stops at the next safe point: before a model call, or before the tools of a step; what is under way
        comes to its end first. Answers `paused`, or `pausing` while that is still to come. Repeating it changes
        nothing; a run that has not been started, or has ended, answers 409.
        """
        run = self.get_object()
        status, events = commands.pause_run(self.actor, run.pk)
        live.announce(events)
        return done(run.pk, status, f"The run is {status}.")

    @extend_schema(request=serializers.ResumeSerializer, responses=serializers.VerbSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Resume a paused run

        Any worker goes on from its last checkpoint, with `limits` over the run's own. One that is queued or running
        anyway is left alone. One that has not been started, waits for a person or has ended answers 409; so does
        one that has used up a limit which is not raised, and `details` say which: `{status, reason, limit, value,
        used}`.
        """
        limits = validated(serializers.ResumeSerializer, request.data).get("limits")
        run = self.get_object()
        status, events = commands.resume_run(self.actor, run.pk, limits)
        live.announce(events)
        return done(run.pk, status, f"The run is {status}.")

    @extend_schema(request=serializers.CancelSerializer, responses=serializers.VerbSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Cancel a run

        Ends it at once, whatever it is doing; a model call under way is broken off. A run that has completed
        or failed answers 409.
        """
        reason = validated(serializers.CancelSerializer, request.data).get("reason", "")
        run = self.get_object()
        live.announce(commands.cancel_run(self.actor, run.pk, reason))
        return done(run.pk, Status.CANCELLED, "The run is cancelled.")

    @extend_schema(
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: serializers.VerbSerializer, **failures(402, 422)},
    )
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Retry a run

        Makes a new run with the same input, of the agent as it is now, linked to this one as its parent. The
        answer's `run_id` is the new run's. A repeat with the same `Idempotency-Key` returns the same one.
        """
        run = self.get_object()
        started = commands.retry_run(self.actor, run.pk, idempotency_key(request))
        live.announce(started.events)
        return done(started.run.pk, started.run.status, "A new run with the same input is queued.", code=202)


def last_steps(run_id: uuid.UUID) -> list[RunStep]:
    """The run's last steps, at most STEPS_SHOWN, in their order."""
    return list(RunStep.objects.filter(run_id=run_id).order_by("-step_num", "-id")[:STEPS_SHOWN])[::-1]


def idempotency_key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_KEY:
        raise Invalid({"Idempotency-Key": f"At most {MAX_KEY} characters."})
    return key


def done(run_id: object, status: str, message: str, code: int = 200) -> Response:
    """What a verb answers."""
    return Response({"run_id": str(run_id), "status": status, "message": message}, status=code)
