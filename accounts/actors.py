"""From rows to `Actor`s: what a membership, an API key or a superuser may do in a workspace."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from accounts import audit
from accounts.actor import Actor, Limits, OwnLimits
from accounts.hot_query import first_row
from accounts.models import Membership, User, Workspace
from accounts.roles import Role, permissions_by_role, scoped
from accounts.tokens import fingerprint_of

MEMBER_FIELDS = (
    "id",
    "role",
    "workspace_id",
    "workspace__slug",
    "workspace__audits_reads",
    "user_id",
    "user__username",
    "user__is_active",
    "user__is_superuser",
    "user__password",
    "user__requests_per_minute",
    "user__open_requests",
    "workspace__requests_per_minute",
    "workspace__open_requests",
)


def members() -> Any:
    """Memberships with all that an actor is made of, one dictionary each, in one query."""
    return Membership.objects.order_by("id").values(*MEMBER_FIELDS)


def first_member(user_id: UUID | None, slug: str) -> dict[str, Any] | None:
    """A user's membership in the workspace `slug`, or its first one without a slug; a row of `members()`."""
    condition = (
        "WHERE accounts_membership.user_id = %s AND (%s = '' OR slug = %s) ORDER BY accounts_membership.id"
    )
    return first_row(members, condition, [user_id, slug, slug])


def member_actor(found: dict[str, Any], address: str = "", expires_at: datetime | None = None) -> Actor:
    """The actor of a row of `members()`."""
    role = Role(found["role"])
    return Actor(
        user_id=found["user_id"],
        username=found["user__username"],
        workspace_id=found["workspace_id"],
        workspace_slug=found["workspace__slug"],
        role=role,
        permissions=permissions_by_role[role],
        address=address,
        expires_at=expires_at,
        membership_id=found["id"],
        fingerprint=fingerprint_of(found["user__password"]),
        audits_reads=found["workspace__audits_reads"],
        limits=_limits(found),
    )


def key_actor(found: dict[str, Any], address: str = "") -> Actor:
    """The actor of a row of `api_keys.find_key`: the role's permissions, narrowed by the key's scopes."""
    role = Role(found["workspace__memberships__role"])
    permissions = permissions_by_role[role]
    return Actor(
        user_id=found["user_id"],
        username=found["user__username"],
        workspace_id=found["workspace_id"],
        workspace_slug=found["workspace__slug"],
        role=role,
        permissions=scoped(permissions, found["scopes"]) if found["scopes"] else permissions,
        api_key_id=found["id"],
        api_key_name=found["name"],
        address=address,
        expires_at=found["expires_at"],
        membership_id=found["workspace__memberships__id"],
        api_key_prefix=found["prefix"],
        audits_reads=found["workspace__audits_reads"],
        limits=_limits(found),
    )


def _limits(found: dict[str, Any]) -> Limits:
    """What a row says of limits; a key's stand in that of a key."""
    return Limits(
        OwnLimits(found["user__requests_per_minute"], found["user__open_requests"]),
        OwnLimits(found["workspace__requests_per_minute"], found["workspace__open_requests"]),
        OwnLimits(found.get("requests_per_minute"), found.get("open_requests")),
    )


def superuser_actor(user: User, workspace: Workspace, address: str = "") -> Actor:
    """A superuser in a workspace that it need not be a member of: an admin there."""
    return Actor(
        user_id=user.pk,
        username=user.username,
        workspace_id=workspace.pk,
        workspace_slug=workspace.slug,
        role=Role.ADMIN,
        permissions=permissions_by_role[Role.ADMIN],
        address=address,
        fingerprint=fingerprint_of(user.password),
        audits_reads=workspace.audits_reads,
    )


def platform_actor(workspace: Workspace, name: str) -> Actor:
    """The platform itself, in an operator's hands: an admin whom no user stands for. `name` says what it acts by."""
    return Actor(
        user_id=UUID(int=0),
        username=name,
        workspace_id=workspace.pk,
        workspace_slug=workspace.slug,
        role=Role.ADMIN,
        permissions=permissions_by_role[Role.ADMIN],
    )


def actor_in(user_id: UUID, workspace_id: UUID, address: str = "", *, may_be_superuser: bool) -> Actor | None:
    """What an active user is in a workspace today; None where it is nothing."""
    found = members().filter(user_id=user_id, workspace_id=workspace_id, user__is_active=True).first()
    if found:
        return member_actor(found, address)
    if not may_be_superuser:
        return None
    user = User.objects.filter(pk=user_id, is_superuser=True, is_active=True).first()
    workspace = Workspace.objects.filter(pk=workspace_id).first()
    return superuser_actor(user, workspace, address) if user and workspace else None


def user_of_row(found: dict[str, Any]) -> User:
    """The user in a row; what the row does not hold is read from the database when it is asked for."""
    loaded = {"id": "user_id", "username": "user__username", "is_active": "user__is_active"}
    loaded["is_superuser"] = "user__is_superuser"
    names = [field.attname for field in User._meta.concrete_fields if field.attname in loaded]
    return User.from_db("default", names, [found[loaded[name]] for name in names])


def bind_to_logs(actor: Actor) -> Actor:
    """Puts the actor on every log line and audit entry that follows in this request or socket."""
    audit.current().actor = actor
    structlog.contextvars.bind_contextvars(
        user_id=str(actor.user_id), workspace=actor.workspace_slug, workspace_id=str(actor.workspace_id)
    )
    return actor
