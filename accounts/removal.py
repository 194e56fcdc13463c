"""The end of an account."""

from __future__ import annotations

import uuid

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts import audit
from accounts.members import keeping_an_admin, remove_member, workspaces_led_by
from accounts.models import Membership, User
from agentplatform.lib.errors import Conflict


def check_removable(user: User, workspace_id: uuid.UUID | None = None) -> None:
    """Raises Conflict where a workspace would be left without an admin; None: any of them."""
    led = [workspace_id] if workspace_id else workspaces_led_by(user)
    try:
        with transaction.atomic():
            with keeping_an_admin(*led):
                Membership.objects.filter(user=user, workspace_id__in=led).delete()
            transaction.set_rollback(True)
    except Conflict as error:
        raise Conflict(f"{user.username!r} is the last admin. {error.message}") from error


def leave(user_id: uuid.UUID, workspace_id: uuid.UUID) -> int:
    """Ends the membership, if there is one. Raises Conflict for the last admin."""
    membership = Membership.objects.filter(user_id=user_id, workspace_id=workspace_id).first()
    if membership:
        remove_member(membership)
    return int(membership is not None)


def delete_if_alone(user_id: uuid.UUID) -> bool:
    """Deletes an account that belongs to no workspace any more; whether it did. A superuser's stays."""
    with transaction.atomic():
        user = User.objects.select_for_update().filter(pk=user_id, is_superuser=False).first()
        if user is None or user.memberships.exists():
            return False
        delete_account(user)
        return True


def delete_account(user: User) -> None:
    """With everything that says who it was: tokens, and what the admin's history tells of it."""
    with transaction.atomic():
        OutstandingToken.objects.filter(user=user).delete()
        own = ContentType.objects.get_for_model(User)
        LogEntry.objects.filter(content_type=own, object_id=str(user.pk)).delete()
        audit.erase_names(user.pk)
        user.delete()
