"""How far the user of an admin request reaches: which permissions, in which workspaces."""

from __future__ import annotations

import hashlib
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.actor import Actor
from accounts.actors import member_actor, members, superuser_actor
from accounts.models import Workspace
from accounts.roles import PERMISSIONS


class Reach:
    """What the user of one admin request may do, and where."""

    def __init__(self, user: Any) -> None:
        self.user = user
        self.is_superuser: bool = user.is_active and user.is_superuser
        found = members().filter(user_id=user.pk, user__is_active=True) if user.is_authenticated else ()
        self.actors: dict[UUID, Actor] = {row["workspace_id"]: member_actor(row) for row in found}

    @property
    def fingerprint(self) -> str:
        """The same as long as the same person may do the same: for keys of what is kept for a moment."""
        may = [(str(key), sorted(actor.permissions)) for key, actor in sorted(self.actors.items())]
        return hashlib.sha256(repr((self.user.pk, self.is_superuser, may)).encode()).hexdigest()

    def may(self, permission: str, workspace_id: UUID | None = None) -> bool:
        """Whether the user has a permission in a workspace, or in any where none is named."""
        if self.is_superuser:
            return permission in PERMISSIONS
        actors = [self.actors.get(workspace_id)] if workspace_id else self.actors.values()
        return any(actor is not None and actor.may(permission) for actor in actors)

    def rows(self, queryset: Any, permission: str) -> Any:
        """The rows of a tenant model that the user has a permission on."""
        if self.is_superuser:
            return queryset if permission in PERMISSIONS else queryset.none()
        visible = [queryset.visible_to(actor) for actor in self.actors.values() if actor.may(permission)]
        return reduce(or_, visible) if visible else queryset.none()

    def workspaces(self, permission: str) -> QuerySet[Workspace]:
        """The workspaces in which the user has a permission."""
        if self.is_superuser:
            return Workspace.objects.all()
        ids = [workspace_id for workspace_id, actor in self.actors.items() if actor.may(permission)]
        return Workspace.objects.filter(pk__in=ids)

    def actor(self, workspace_id: UUID) -> Actor:
        """Who the user is in a workspace. Raises Django's PermissionDenied where it is nobody."""
        if actor := self.actors.get(workspace_id):
            return actor
        if not self.is_superuser:
            raise PermissionDenied
        return superuser_actor(self.user, Workspace.objects.get(pk=workspace_id))


def reach(request: HttpRequest) -> Reach:
    """The request's reach; the memberships are read once per request."""
    if not hasattr(request, "_reach"):
        request._reach = Reach(request.user)  # type: ignore[attr-defined]
    return request._reach  # type: ignore[attr-defined]
