"""The routes of what there is of a person: exported, and erased."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.audit import Action
from accounts.members import find_member
from accounts.permissions import acting
from agentplatform.lib.schema import failures
from agentplatform.lib.serializers import StrictSerializer
from runs.subjects import people
from runs.subjects.content import Subject
from runs.subjects.export import lines

FILE = {
    (200, "application/x-ndjson"): OpenApiResponse(
        OpenApiTypes.STR, description="A row on each line, with its kind."
    )
}
MEMBER = [
    OpenApiParameter(
        "workspace", OpenApiTypes.STR, OpenApiParameter.PATH, description="The workspace's slug."
    ),
    OpenApiParameter("user", OpenApiTypes.STR, OpenApiParameter.PATH, description="A user's id or name."),
]


class EraseSerializer(StrictSerializer):
    """Who is erased, said once more."""

    confirm = serializers.CharField(max_length=150, help_text="The member's username.")

    example = {"confirm": "bob"}


class ErasedSerializer(StrictSerializer):
    """How many rows of each kind are gone, or name a pseudonym now."""

    erased = serializers.DictField(child=serializers.IntegerField())

    example = {"erased": {"runs": 12, "sessions": 3, "messages": 40, "ledger_names": 2, "memberships": 1}}


class SubjectViewSet(viewsets.GenericViewSet[Any]):
    """What there is of the members of a workspace."""

    filter_backends = []
    pagination_class = None
    serializer_class = ErasedSerializer
    permissions = {"export_own": "export:own-data", "export": "export:member", "erase": "erase:member"}

    @extend_schema(operation_id="auth_me_export", responses=FILE)
    def export_own(self, request: Request) -> HttpResponseBase:
        """Export one's own data

        All that there is of the caller in this workspace, as JSON Lines, streamed however much it is.
        """
        actor = acting(request)
        audit.record(Action.EXPORTED, audit.account(request.user, actor.workspace_id))
        return _file(Subject(actor.user_id, actor.workspace_id), actor.username)

    @extend_schema(operation_id="workspaces_members_export", parameters=MEMBER, responses=FILE)
    def export(self, request: Request, workspace: str, user: str) -> HttpResponseBase:
        """Export a member's data"""
        membership = find_member(acting(request).workspace_id, user)
        audit.record(Action.EXPORTED, audit.member(membership))
        return _file(Subject(membership.user_id, membership.workspace_id), membership.user.username)

    @extend_schema(
        operation_id="workspaces_members_erase",
        parameters=MEMBER,
        request=EraseSerializer,
        responses={200: ErasedSerializer, **failures(409, 422)},
    )
    def erase(self, request: Request, workspace: str, user: str) -> Response:
        """Erase a member

        All that they have said and done in this workspace, for ever; their name becomes a pseudonym where something has
        to stay. Their account goes too where it belongs to no other workspace. Where it breaks off, repeat it.
        """
        actor = acting(request)
        membership = find_member(actor.workspace_id, user)
        body = EraseSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        done = people.erase_member(actor, membership, body.validated_data["confirm"])
        return Response({"erased": {name: number for name, number in sorted(done.items()) if number}})


def _file(subject: Subject, username: str) -> StreamingHttpResponse:
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in username)
    response = StreamingHttpResponse(lines(subject), content_type="application/x-ndjson")
    response["Content-Disposition"] = f'attachment; filename="{name}.jsonl"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    return response
