"""What the viewsets of all rooms share: the actor, the tenant wall, and lookup by id or name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from rest_framework import mixins, viewsets
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer

from accounts import audit
from accounts.actor import Actor
from accounts.permissions import acting


class TenantViewSet(viewsets.GenericViewSet[Any]):
    """A viewset over one tenant model; combine it with the mixins of the actions it has.

        class ToolViewSet(mixins.ListModelMixin, TenantViewSet):
            queryset = Tool.objects.select_related("secret")
            serializer_class = ToolSerializer
            permissions = {"list": "read:tool"}

    Rows are reached through `visible_to(self.actor)` only. An action that `permissions` does not name
    is closed to everybody. Serializers find the actor in their context.
    """

    permissions: dict[str, str] = {}
    lookup_value_regex = "[^/]+"

    @property
    def actor(self) -> Actor:
        """Who acts. Raises PermissionDenied for a user without any workspace."""
        return acting(self.request)

    def get_queryset(self) -> Any:
        queryset: Any = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset.none()
        return queryset.visible_to(self.actor)

    def get_object(self) -> Any:
        """The visible row with the URL's id or name. Raises NotFound."""
        return self.get_queryset().named(self.actor, self.identifier)

    @property
    def identifier(self) -> str:
        """The URL's id or name."""
        return str(self.kwargs[self.lookup_url_kwarg or self.lookup_field])

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "actor": getattr(self.request, "auth", None)}

    def body_of(self, serializer_class: type[BaseSerializer[Any]]) -> dict[str, Any]:
        """The request's body, validated by a serializer that is not the resource's."""
        serializer = serializer_class(data=self.request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        serializer.save(workspace_id=self.actor.workspace_id)


class WhateverIsAccepted(BaseContentNegotiation):
    """For a view that answers files: neither `Accept` nor `?format=` chooses how its errors look."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class FileViewSet(TenantViewSet):
    """A viewset that answers rows as a file."""

    content_negotiation_class = WhateverIsAccepted
    # HEAD would read the whole file and throw it away.
    http_method_names = ["get", "options"]


class TenantModelViewSet(
    TenantViewSet,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    mixins.ListModelMixin,
):
    """List, create (201), read, replace and change (200), delete (204).

    What the domain's verb has not told the audit log is told here, in the same transaction.
    """

    @transaction.atomic
    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        super().perform_create(serializer)
        made: Any = serializer.instance
        if not audit.is_told(audit.thing(made)):
            audit.created(made)

    @transaction.atomic
    def perform_update(self, serializer: BaseSerializer[Any]) -> None:
        changed: Any = serializer.instance
        before = audit.fingerprint_of(changed)
        super().perform_update(serializer)
        if not audit.is_told(audit.thing(changed)):
            audit.updated(changed, before)

    @transaction.atomic
    def perform_destroy(self, instance: Any) -> None:
        audit.deleted(instance)
        super().perform_destroy(instance)
