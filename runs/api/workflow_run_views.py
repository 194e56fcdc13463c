"""The route that runs a workflow."""

from __future__ import annotations

import structlog
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib.async_views import validated
from agentplatform.lib.schema import failures
from agents.models import Workflow
from runs import commands, live
from runs.api import serializers
from runs.api.representations import run_json
from runs.api.views import IDEMPOTENCY_KEY, idempotency_key, last_steps


class WorkflowRunViewSet(TenantViewSet):
    """Runs of a workflow."""

    queryset = Workflow.objects.only("id")
    serializer_class = serializers.RunSerializer
    permissions = {"run": "execute:workflow"}

    @extend_schema(
        request=serializers.WorkflowRunSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: serializers.RunSerializer, **failures(402, 404, 409, 422)},
    )
    def run(self, request: Request, pk: str) -> Response:
        """Run a workflow

        In its published version or, for those who write workflows, in another. Answers at once, as `POST /runs` does.
        """
        values = validated(serializers.WorkflowRunSerializer, request.data)
        asked = serializers.run_request({**values, "workflow_id": str(self.get_object().pk)})
        started = commands.start_run(self.actor, asked, idempotency_key=idempotency_key(request))
        structlog.contextvars.bind_contextvars(run_id=str(started.run.pk))
        live.announce([*started.others, *started.events])
        steps = last_steps(started.run.pk) if started.repeated else []
        return Response(run_json(started.run, steps), status=202)
