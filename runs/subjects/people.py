"""Erasing people whole: their content, then their membership, and the account that is nobody's any more."""

from __future__ import annotations

import uuid
from collections import Counter

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from accounts.models import Membership, User, Workspace
from accounts.pseudonyms import pseudonym
from accounts.removal import check_removable, delete_account, delete_if_alone, leave
from agentplatform.lib.errors import Conflict, Invalid
from runs.subjects.content import Subject
from runs.subjects.erase import erase_content

Counts = Counter[str]


def erase_member(actor: Actor, membership: Membership, confirm: str) -> Counts:
    """Erases a member from the actor's workspace, and the account where it belongs to no other.

    `confirm` is their username. Raises Invalid where it is not, Conflict for the last admin and for oneself.
    """
    actor.require("erase:member")
    user = membership.user
    if user.pk == actor.user_id:
        raise Conflict("Nobody erases themselves. Ask another admin.")
    if confirm != user.username:
        raise Invalid({"confirm": "Repeat the username of who is to be erased. It cannot be undone."})
    check_removable(user, actor.workspace_id)
    return erase_from(user, actor.workspace_id)


def erase_from(user: User, workspace_id: uuid.UUID) -> Counts:
    """Erases a user from one workspace, and the account where it belongs to no other."""
    workspace = Workspace.objects.get(pk=workspace_id)
    done = _erase(user, workspace)
    _tell(user, workspace_id, done)
    done["accounts"] += int(delete_if_alone(user.pk))
    return done


def erase_everywhere(user: User) -> Counts:
    """Erases a user from all workspaces, with the account. Raises Conflict for the last admin of one."""
    check_removable(user)
    done: Counts = Counter()
    for workspace in Workspace.objects.order_by("pk").iterator():
        erased = _erase(user, workspace)
        if erased.total():
            _tell(user, workspace.pk, erased)
        done += erased
    delete_account(user)
    done["accounts"] += 1
    return done


def _erase(user: User, workspace: Workspace) -> Counts:
    subject = Subject(user.pk, workspace.pk)
    done = erase_content(subject)
    done["memberships"] += leave(user.pk, workspace.pk)
    # What has begun in the meantime; from now on nothing can.
    return done + erase_content(subject)


def _tell(user: User, workspace_id: uuid.UUID, done: Counts) -> None:
    """The audit log, under the pseudonym: no name is written anew by telling that it is gone."""
    what = audit.Thing("User", user.pk, "", workspace_id, user.pk, pseudonym(user.pk))
    audit.record(Action.ERASED, what, after={name: count for name, count in sorted(done.items()) if count})
