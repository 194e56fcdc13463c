"""Workspaces, their members and their API keys over REST."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts import audit
from accounts.actor import Actor, OwnLimits
from accounts.api.base import TenantViewSet
from accounts.api.filters import ApiKeyFilter, MemberFilter
from accounts.api.serializers import (
    ApiKeyLimitsSerializer,
    ApiKeySerializer,
    MemberSerializer,
    RoleSerializer,
    WorkspaceSerializer,
)
from accounts.api_keys import change_limits, create_key, revoke_keys
from accounts.members import add_member, change_role, create_workspace, find_member, remove_member
from accounts.models import ApiKey, Membership, User, Workspace
from accounts.permissions import SIGNED_IN, acting, actor_of
from accounts.roles import Role
from accounts.workspaces import keep_currency
from agentplatform.lib.errors import PermissionDenied


@extend_schema_view(
    list=extend_schema(summary="List API keys"),
    create=extend_schema(summary="Create an API key"),
    partial_update=extend_schema(summary="Change the limits of an API key"),
    destroy=extend_schema(summary="Revoke an API key"),
)
class ApiKeyViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    TenantViewSet,
):
    """API keys of the workspace: one's own, and everybody's for those who manage members."""

    queryset = ApiKey.objects.select_related("user")
    serializer_class = ApiKeySerializer
    filterset_class = ApiKeyFilter
    search_fields = ["name", "prefix"]
    ordering_fields = ["id", "name", "created_at", "expires_at", "last_used_at"]
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    http_method_names = ["get", "head", "post", "patch", "delete"]
    permissions = {
        "list": "read:api-key",
        "create": "write:api-key",
        "partial_update": "write:api-key",
        "destroy": "write:api-key",
    }

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        return ApiKeyLimitsSerializer if self.action == "partial_update" else ApiKeySerializer

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        values = dict(serializer.validated_data)
        limits = OwnLimits(values.pop("requests_per_minute", None), values.pop("open_requests", None))
        key, text = create_key(self.actor, **values, limits=limits)
        key.key = text  # type: ignore[attr-defined]
        serializer.instance = key

    def perform_update(self, serializer: BaseSerializer[Any]) -> None:
        key: Any = serializer.instance
        change_limits(self.actor, key, serializer.validated_data)

    def perform_destroy(self, instance: ApiKey) -> None:
        """Revokes the key; its row stays, as usage refers to it."""
        revoke_keys(ApiKey.objects.filter(pk=instance.pk))


class WorkspaceViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet[Any],
):
    """The caller's workspaces. Admins of any, and superusers, make new ones and become their admins."""

    queryset = Workspace.objects.all()
    serializer_class = WorkspaceSerializer
    lookup_field = "slug"
    lookup_url_kwarg = "workspace"
    http_method_names = ["get", "head", "post", "patch"]
    search_fields = ["slug", "name"]
    ordering_fields = ["slug", "name", "created_at"]
    permissions = {
        "list": SIGNED_IN,
        "create": SIGNED_IN,
        "retrieve": SIGNED_IN,
        "partial_update": "write:workspace",
    }

    def get_queryset(self) -> QuerySet[Workspace]:
        workspaces: QuerySet[Workspace] = super().get_queryset()
        actor = actor_of(self.request)
        if actor and actor.api_key_id:
            return workspaces.filter(pk=actor.workspace_id)
        user: Any = self.request.user
        return workspaces.filter(memberships__user=user)

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        owner: Any = self.request.user
        refuse_unless_may_create(owner, actor_of(self.request))
        serializer.instance = create_workspace(owner, **serializer.validated_data)

    @transaction.atomic
    def perform_update(self, serializer: BaseSerializer[Any]) -> None:
        workspace: Any = serializer.instance
        keep_currency(workspace, serializer.validated_data.get("currency", workspace.currency))
        with audit.updating(workspace, audit.thing(workspace)._replace(workspace_id=workspace.pk)):
            serializer.save()


def refuse_unless_may_create(user: User, actor: Actor | None) -> None:
    """Raises PermissionDenied unless the caller may make workspaces; an API key needs the scope for it."""
    if actor and actor.api_key_id:
        actor.require("write:workspace")
    elif not user.is_superuser and not user.memberships.filter(role=Role.ADMIN).exists():
        raise PermissionDenied("Only admins of a workspace can make another one.")


@extend_schema_view(list=extend_schema(summary="List members"))
class MemberViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Any]):
    """Members of the workspace in the path. `{user}` is a user's id or name."""

    queryset = Membership.objects.select_related("user")
    serializer_class = MemberSerializer
    filterset_class = MemberFilter
    lookup_field = "user"
    search_fields = ["user__username", "user__email"]
    ordering_fields = ["created_at", "role"]
    permissions = {
        "list": "read:member",
        "create": "write:member",
        "retrieve": "read:member",
        "partial_update": "write:member",
        "destroy": "write:member",
    }

    def get_queryset(self) -> QuerySet[Membership]:
        if getattr(self, "swagger_fake_view", False):
            return Membership.objects.none()
        members: Any = super().get_queryset()
        return members.visible_to(acting(self.request))

    def get_object(self) -> Membership:
        return find_member(acting(self.request).workspace_id, self.kwargs["user"])

    def create(self, request: Request, workspace: str) -> Response:
        """Add a member.

        By the name of a user who exists; with `create_user: true` a missing one is made, and its generated
        password stands in this answer alone.
        """
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        added = add_member(acting(request).workspace_id, **serializer.validated_data)
        added.membership.password = added.password  # type: ignore[attr-defined]
        return Response(self.get_serializer(added.membership).data, status=201)

    def retrieve(self, request: Request, workspace: str, user: str) -> Response:
        """Read a member."""
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=RoleSerializer)
    def partial_update(self, request: Request, workspace: str, user: str) -> Response:
        """Change a member's role.

        The last admin stays one: 409.
        """
        serializer = RoleSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        changed = change_role(self.get_object(), Role(serializer.validated_data["role"]))
        return Response(self.get_serializer(changed).data)

    def destroy(self, request: Request, workspace: str, user: str) -> Response:
        """Remove a member.

        Ends the member's API keys for the workspace too. The last admin cannot be removed: 409.
        """
        remove_member(self.get_object())
        return Response(status=204)
