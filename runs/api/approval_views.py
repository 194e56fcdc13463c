"""The routes of approvals: the inbox, those of a run, and deciding them."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib.async_views import validated
from runs import approvals, live
from runs.api import approval_serializers as serializers
from runs.api.filters import ApprovalFilter
from runs.api.streams import RUN_ID
from runs.approvals import Decision
from runs.models import Approval, Run


class ApprovalViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, TenantViewSet):
    """The inbox: tool calls of one's own runs that wait for a person, and everybody's for those who may see them."""

    queryset = Approval.objects.select_related("run")
    serializer_class = serializers.ApprovalSerializer
    filterset_class = ApprovalFilter
    ordering_fields = ["id"]
    keyset = True
    permissions = {
        "list": "read:approval",
        "retrieve": "read:approval",
        "approve": "decide:approval",
        "reject": "decide:approval",
        "edit": "decide:approval",
    }

    def get_queryset(self) -> QuerySet[Approval]:
        return shown(super().get_queryset())

    @extend_schema(request=None, responses=serializers.DecidedSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve a tool call

        It is made as the model has asked for it, and the run goes on. The same decision again changes nothing; one
        that was decided otherwise, by a person or its deadline, answers 409.
        """
        return self._decide(pk, Decision("approve"))

    @extend_schema(request=serializers.RejectSerializer, responses=serializers.DecidedSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject a tool call

        It is not made. The model is told so, with the reason, and the run goes on.
        """
        reason = validated(serializers.RejectSerializer, request.data).get("reason", "")
        return self._decide(pk, Decision("reject", reason))

    @extend_schema(request=serializers.EditSerializer, responses=serializers.DecidedSerializer)
    @action(detail=True, methods=["post"])
    def edit(self, request: Request, pk: str) -> Response:
        """Approve a tool call with changes

        It is made with other `arguments`; those that the tool does not take answer 422. A call of which nobody knows
        whether it has had its effect, because a worker was lost, may be given its `result` instead.
        """
        return self._decide(pk, serializers.edit(validated(serializers.EditSerializer, request.data)))

    def _decide(self, pk: str, decision: Decision) -> Response:
        approval, events = approvals.decide(self.actor, pk, decision)
        live.announce(events)
        return Response(
            {
                "approval_id": str(approval.pk),
                "run_id": str(approval.run_id),
                "status": approval.status,
                "message": f"The call is {approval.status}.",
            }
        )


@extend_schema_view(list=extend_schema(parameters=[RUN_ID]))
class RunApprovalsViewSet(mixins.ListModelMixin, TenantViewSet):
    """The approvals of a run, and of the runs that its tools have started; the newest first."""

    queryset = Approval.objects.select_related("run")
    serializer_class = serializers.ApprovalSerializer
    filterset_class = ApprovalFilter
    ordering_fields = ["id"]
    keyset = True
    permissions = {"list": "read:approval"}

    def get_queryset(self) -> QuerySet[Approval]:
        found = shown(super().get_queryset())
        if getattr(self, "swagger_fake_view", False):
            return found
        run: Run = Run.objects.only("id").named(self.actor, self.kwargs["pk"])
        return approvals.of_family(found, run.pk)


def shown(rows: QuerySet[Approval]) -> QuerySet[Approval]:
    """Of the run, only what is shown beside it: runs are large."""
    of_run = ("run__agent_name", "run__workflow_name", "run__user_id")
    return rows.only(*(field.name for field in Approval._meta.fields), *of_run)
