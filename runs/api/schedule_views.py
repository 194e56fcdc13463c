"""The routes of schedules."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantModelViewSet
from agentplatform.lib.schema import failures
from runs import live
from runs.api import schedule_serializers as serializers
from runs.api.filters import ScheduleFilter
from runs.models import Schedule
from runs.schedules import editing


class ScheduleViewSet(TenantModelViewSet):
    """Runs that begin by the clock: one's own, and everybody's for those who may see all runs."""

    queryset = Schedule.objects.select_related("agent", "user")
    serializer_class = serializers.ScheduleSerializer
    filterset_class = ScheduleFilter
    search_fields = ["name"]
    ordering_fields = ["name", "created_at", "next_run_at"]
    permissions = {
        "list": "read:schedule",
        "retrieve": "read:schedule",
        "create": "write:schedule",
        "update": "write:schedule",
        "partial_update": "write:schedule",
        "pause": "write:schedule",
        "resume": "write:schedule",
        "trigger": "write:schedule",
        "destroy": "delete:schedule",
    }

    def perform_create(self, serializer: serializers.ScheduleSerializer) -> None:  # type: ignore[override]
        serializer.save()

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Pause a schedule

        It starts no runs until it is resumed. Repeating it changes nothing.
        """
        return Response(serializers.schedule_json(editing.pause(self.actor, self.get_object().pk)))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Resume a schedule

        It goes on with its next moment; those that passed meanwhile are not made up for. Repeating it changes
        nothing.
        """
        return Response(serializers.schedule_json(editing.resume(self.actor, self.get_object().pk)))

    @extend_schema(request=None, responses={202: serializers.TriggeredSerializer, **failures(402)})
    @action(detail=True, methods=["post"])
    def trigger(self, request: Request, pk: str) -> Response:
        """Trigger a schedule

        Starts a run now, as the owner's. Whether it is paused, and when its next run is, stays as it is. Answers 409
        where the owner is no member of the workspace any more.
        """
        schedule = self.get_object()
        started = editing.trigger(self.actor, schedule.pk)
        live.announce([*started.others, *started.events])
        answer = {
            "schedule_id": str(schedule.pk),
            "run_id": str(started.run.pk),
            "status": started.run.status,
            "message": f"A run of the schedule is {started.run.status}.",
        }
        return Response(answer, status=202)
