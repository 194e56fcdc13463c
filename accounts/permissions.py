"""Every route is closed unless its view's `permissions` open it.

    permissions = {"list": "read:agent", "create": "write:agent"}      # a viewset: by action
    permissions = {"get": SIGNED_IN}                                   # a view: by method

An action that is not in the table is refused for everybody.
"""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.actor import Actor
from agentplatform.lib.errors import NotAuthenticated, PermissionDenied

# Anybody. Such a view also has `authentication_classes = []`, so that a stale token does not close it.
PUBLIC = "public"
# Whoever is signed in, whatever the role.
SIGNED_IN = "signed-in"

NO_WORKSPACE = "You are not a member of any workspace. Ask an admin of one to add you."


class HasPermission(BasePermission):
    """Compares what the view's table asks for with what the actor may do."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not hasattr(view, str(request.method).lower()):
            return True  # Nothing is there to permit: the view answers 405.
        needed = permission_of(view, str(request.method))
        if needed == PUBLIC:
            return True
        if not request.user.is_authenticated:
            raise NotAuthenticated()
        if needed is None:
            raise PermissionDenied("This operation is not open to anybody.")
        if needed != SIGNED_IN:
            acting(request).require(needed)
        return True


def permission_of(view: Any, method: str) -> str | None:
    """What a view asks for: a permission's name, PUBLIC, SIGNED_IN, or None where it is closed."""
    table: dict[str, str] = getattr(view, "permissions", {})
    name = getattr(view, "action", None) or method.lower()
    return table.get("get" if name == "head" else name)


def acting(request: Request) -> Actor:
    """The request's actor. Raises PermissionDenied for a user without any workspace."""
    if (actor := actor_of(request)) is None:
        raise PermissionDenied(NO_WORKSPACE)
    return actor


def actor_of(request: Request) -> Actor | None:
    """The request's actor; None for a user without any workspace, and for nobody."""
    actor: Any = request.auth
    return actor
