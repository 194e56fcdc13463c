"""The routes of checkpoints: what a run has gone through, and what begins there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib.errors import Invalid
from agentplatform.lib.ids import as_uuid
from agentplatform.lib.pagination import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET
from agentplatform.lib.schema import failures
from runs import live
from runs.api import checkpoint_serializers as serializers
from runs.api.representations import checkpoint_json, state_json
from runs.history import branches, checkpoints
from runs.history.branches import Modifications
from runs.history.lineage import family_of
from runs.models import Checkpoint, Run

PAGE = [
    OpenApiParameter(
        "limit", int, description=f"Checkpoints at once, 1 to {MAX_LIMIT}. Default: {DEFAULT_LIMIT}."
    ),
    OpenApiParameter("offset", int, description=f"Checkpoints to skip, 0 to {MAX_OFFSET}. Default: 0."),
]
WITH = OpenApiParameter("with", str, required=True, description="The id of the other checkpoint.")


class RunHistoryViewSet(TenantViewSet):
    """What a run has gone through, and its family."""

    queryset = Run.objects.only("id")
    filter_backends = []
    permissions = {"checkpoints": "read:run", "keep": "control:run", "lineage": "read:run"}

    @extend_schema(
        parameters=PAGE, responses={200: serializers.CheckpointPageSerializer, **failures(422)}, filters=False
    )
    def checkpoints(self, request: Request, pk: str) -> Response:
        """List the checkpoints of a run

        The newest first: one after each step, one of what the run began with, and those that people have made.
        """
        run = self.get_object()
        pages: Any = self.paginator
        page = pages.paginate_queryset(checkpoints.of_run(run.pk), request, self)
        return Response(
            {
                "run_id": str(run.pk),
                "total": pages.total,
                "limit": pages.limit,
                "offset": pages.offset,
                "has_more": pages.has_more,
                "checkpoints": [checkpoint_json(checkpoint) for checkpoint in page],
            }
        )

    @extend_schema(
        request=serializers.CheckpointRequestSerializer, responses={201: serializers.CheckpointSerializer}
    )
    def keep(self, request: Request, pk: str) -> Response:
        """Make a checkpoint

        Keeps where the run stands now, under a description and tags, whatever happens to the automatic ones.
        Before the run's first checkpoint it answers 409.
        """
        asked = self.body_of(serializers.CheckpointRequestSerializer)
        kept = checkpoints.keep(self.actor, self.get_object().pk, **asked)
        return Response(checkpoint_json(kept), status=201)

    @extend_schema(responses=serializers.LineageSerializer, filters=False)
    def lineage(self, request: Request, pk: str) -> Response:
        """Read the family of a run

        What it was forked, restored or retried from, up to the first, and all that came of that; at most 500 runs.
        """
        family = family_of(self.actor, self.get_object().pk)
        return Response(
            {
                "root_id": family.root_id,
                "total": len(family.runs),
                "truncated": family.truncated,
                "runs": [asdict(relative) for relative in family.runs],
            }
        )


class CheckpointViewSet(TenantViewSet):
    """States that runs have gone through."""

    queryset = Checkpoint.objects.all()
    serializer_class = serializers.StateSerializer
    filter_backends = []
    permissions = {
        "retrieve": "read:run",
        "diff": "read:run",
        "restore": "read:run",
        "fork": "read:run",
    }

    def retrieve(self, request: Request, pk: str) -> Response:
        """Read a checkpoint

        The whole state after a step: messages, what the run had used, and the agent as the run uses it.
        """
        return Response(state_json(checkpoints.read(checkpoints.find(self.actor, pk))))

    @extend_schema(
        parameters=[WITH], responses={200: serializers.DiffSerializer, **failures(422)}, filters=False
    )
    @action(detail=True, pagination_class=None)
    def diff(self, request: Request, pk: str) -> Response:
        """Compare two checkpoints

        What the one in `with` has in the place of what this one has. They may be of different runs.
        """
        before = checkpoints.find(self.actor, pk)
        if (other := as_uuid(request.query_params.get("with"))) is None:
            raise Invalid({"with": "Send the id of the checkpoint to compare this one with."})
        after = checkpoints.find(self.actor, other)
        compared = checkpoints.compare(checkpoints.read(before), checkpoints.read(after))
        return Response({"checkpoint_id": before.pk, "with": after.pk, **compared})

    @extend_schema(request=serializers.RestoreSerializer, responses={202: serializers.RestoredSerializer})
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:
        """Restore a checkpoint

        A new run goes on from there as its source did; the source stays as it is. With `create_new_run: false` the
        run itself is set back, while it is paused or waits (otherwise 409), and goes on when it is resumed.
        """
        asked = self.body_of(serializers.RestoreSerializer)
        if not asked["create_new_run"]:
            live.announce(branches.restore_in_place(self.actor, pk))
            message = "The run is set back to the checkpoint and paused."
            return Response({"new_run_id": None, "message": message}, status=202)
        started = branches.restore(self.actor, pk, Modifications(**asked.get("modifications", {})))
        live.announce(started.events)
        message = "A new run goes on from the checkpoint."
        return Response({"new_run_id": str(started.run.pk), "message": message}, status=202)

    @extend_schema(request=serializers.ForkSerializer, responses={202: serializers.ForkedSerializer})
    @action(detail=True, methods=["post"])
    def fork(self, request: Request, pk: str) -> Response:
        """Fork a run at a checkpoint

        A new run has the history up to the checkpoint, and goes on from there with the modifications. Its source
        stays as it is.
        """
        asked = self.body_of(serializers.ForkSerializer)
        started = branches.fork(
            self.actor, pk, asked.get("description", ""), Modifications(**asked["modifications"])
        )
        live.announce(started.events)
        source = str(started.run.source_checkpoint_id)
        answer = {
            "new_run_id": str(started.run.pk),
            "checkpoint_id": source,
            "message": "The fork is queued.",
        }
        return Response(answer, status=202)
