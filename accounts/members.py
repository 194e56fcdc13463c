"""Who belongs to a workspace. Every change keeps at least one active admin in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.crypto import get_random_string

from accounts import audit
from accounts.api_keys import revoke_keys
from accounts.audit import Action
from accounts.models import ApiKey, Membership, Ticket, User, Workspace
from accounts.roles import Role
from agentplatform.lib.errors import Conflict, Invalid, NotFound
from agentplatform.lib.ids import as_uuid

PASSWORD_LENGTH = 20
LAST_ADMIN = "The workspace would be left without an admin. Make somebody else an admin first."
READABLE = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Added(NamedTuple):
    """A new member, and the password of its user where that is new too."""

    membership: Membership
    password: str


def create_workspace(owner: User, **fields: Any) -> Workspace:
    """A new workspace with `owner` as its admin."""
    with transaction.atomic():
        workspace = Workspace.objects.create(**fields)
        created = Membership.objects.create(workspace=workspace, user=owner, role=Role.ADMIN)
        what = audit.thing(workspace)._replace(workspace_id=workspace.pk)
        audit.created(workspace, what)
        audit.record(Action.CREATED, audit.member(created), after={"role": created.role})
    return workspace


def find_member(workspace_id: UUID, identifier: str) -> Membership:
    """The membership of a user, by the user's id or name. Raises NotFound."""
    members = Membership.objects.select_related("user").filter(workspace_id=workspace_id)
    key = as_uuid(identifier)
    found = members.filter(user_id=key).first() if key else None
    found = found or members.filter(user__username=identifier).first()
    if found is None:
        raise NotFound("Member", identifier)
    return found


def add_member(workspace_id: UUID, username: str, role: Role, *, create_user: bool, email: str = "") -> Added:
    """Adds a user to a workspace; with `create_user` a missing one is made, with a generated password.

    Raises Invalid for an unknown user otherwise, and Conflict for somebody who is a member already.
    """
    with transaction.atomic():
        user, password = User.objects.filter(username=username).first(), ""
        if user is None and not create_user:
            raise Invalid({"username": f"There is no user {username!r}. Send create_user: true to make one."})
        if user is None:
            user, password = _new_user(username, email)
        membership, is_new = Membership.objects.get_or_create(
            workspace_id=workspace_id, user=user, defaults={"role": role}
        )
        if not is_new:
            raise Conflict(f"{username!r} is a member already; change the role with PATCH.")
        if password:
            audit.record(Action.CREATED, audit.account(user, workspace_id))
        audit.record(Action.CREATED, audit.member(membership), after={"role": role})
    return Added(membership, password)


def change_role(membership: Membership, role: Role) -> Membership:
    """Gives a member another role. Raises Conflict for the last admin."""
    with keeping_an_admin(membership.workspace_id):
        Membership.objects.filter(pk=membership.pk).update(role=role)
        what = audit.member(membership)
        audit.record(Action.UPDATED, what, before={"role": membership.role}, after={"role": role})
    membership.role = role
    return membership


def remove_member(membership: Membership) -> None:
    """Ends a membership, and the user's keys and tickets there. Raises Conflict for the last admin."""
    with keeping_an_admin(membership.workspace_id):
        revoke_keys(ApiKey.objects.filter(workspace_id=membership.workspace_id, user_id=membership.user_id))
        Ticket.objects.filter(membership=membership).delete()
        Membership.objects.filter(pk=membership.pk).delete()
        audit.record(Action.DELETED, audit.member(membership), before={"role": membership.role})


@contextmanager
def keeping_an_admin(*workspace_ids: UUID) -> Iterator[None]:
    """A transaction that is undone with Conflict if it leaves one of the workspaces without an active admin.

    Such transactions on one workspace go one after the other: two admins cannot remove each other at once.
    """
    with transaction.atomic():
        workspaces = Workspace.objects.filter(pk__in=workspace_ids)
        locked = {workspace.pk for workspace in workspaces.select_for_update().order_by("pk")}
        yield
        admins = Membership.objects.filter(
            workspace_id__in=locked, role=Role.ADMIN, user__is_active=True
        ).values_list("workspace_id", flat=True)
        if locked - set(admins):
            raise Conflict(LAST_ADMIN)


def workspaces_led_by(*users: User) -> list[UUID]:
    """The workspaces that have one of these users as an admin."""
    led = Membership.objects.filter(user__in=users, role=Role.ADMIN)
    return list(led.values_list("workspace_id", flat=True))


def _new_user(username: str, email: str) -> tuple[User, str]:
    user, password = User(username=username, email=email), get_random_string(PASSWORD_LENGTH, READABLE)
    user.set_password(password)
    try:
        user.full_clean()
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid({name: " ".join(messages) for name, messages in error.message_dict.items()}) from error
    user.save()
    return user, password
