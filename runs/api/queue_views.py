"""The routes for whoever operates the platform: its workers, and what waits for them."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib.async_views import validated
from runs import live
from runs.api.queue_serializers import (
    QueueSerializer,
    RequeuedSerializer,
    RequeueSerializer,
    WorkerSerializer,
)
from runs.models import Run, Worker
from runs.queueing import admission, stuck
from runs.queueing.figures import figures


class WorkerViewSet(mixins.ListModelMixin, TenantViewSet):
    """The processes that execute runs, each with the workspace's runs in its hands."""

    queryset = Worker.objects.all()
    serializer_class = WorkerSerializer
    ordering_fields = ["started_at"]
    permissions = {"list": "read:worker"}


class QueueViewSet(TenantViewSet):
    """The workspace's runs that wait."""

    queryset = Run.objects.all()
    permissions = {"figures": "read:queue", "requeue": "control:queue"}

    @extend_schema(responses=QueueSerializer, filters=False)
    def figures(self, request: Request) -> Response:
        """Read the queue

        How many runs of the workspace wait, for how long, and for what.
        """
        workspace_id = self.actor.workspace_id
        limit = admission.limit_of(workspace_id)
        return Response(figures(Run.objects.filter(workspace_id=workspace_id)) | {"limit": limit})

    @extend_schema(request=RequeueSerializer, responses=RequeuedSerializer)
    def requeue(self, request: Request) -> Response:
        """Put stuck runs back into the queue

        Those whose wake-up is lost, and those in the hands of a worker that is not alive. Workers do the same by
        themselves within seconds. A run that is fine is left, with the reason; repeating this changes nothing.
        """
        asked = validated(RequeueSerializer, request.data)
        outcome = stuck.requeue(self.actor, asked.get("run_ids"))
        live.announce(outcome.events)
        return Response(RequeuedSerializer({"requeued": outcome.requeued, "left": outcome.left}).data)
