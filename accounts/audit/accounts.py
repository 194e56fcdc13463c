"""Entries about accounts, which belong to every workspace that the account belongs to."""

from __future__ import annotations

import uuid
from typing import Any

from accounts.audit.models import PLATFORM, Action, AuditName, Outcome
from accounts.audit.recording import Thing, entry
from accounts.names import put_pseudonym
from agentplatform.lib import bulk


def account(user: Any, workspace_id: uuid.UUID | None = None) -> Thing:
    """A person, whose name can be erased."""
    return Thing("User", user.pk, "", workspace_id, user.pk, user.username)


def member(membership: Any) -> Thing:
    """A person as the member of a workspace."""
    user = membership.user
    return Thing("Member", user.pk, "", membership.workspace_id, user.pk, user.username)


def key(api_key: Any) -> Thing:
    """An API key, whose name goes with its owner's."""
    return Thing("ApiKey", api_key.pk, "", api_key.workspace_id, api_key.user_id, api_key.name)


def record_of_account(
    action: Action,
    user: Any = None,
    *,
    is_proved: bool = True,
    is_by_user: bool = True,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """An entry in each workspace of a user, of the platform where there is none.

    Not `is_by_user`: whoever acts has done it to them. Not `is_proved`: somebody else may have tried it, so it was
    refused. Whatever was typed for an unknown user's name is not kept: it may be a password.
    """
    workspaces = list(user.memberships.values_list("workspace_id", flat=True)) if user else []
    outcome = Outcome.SUCCEEDED if is_proved else Outcome.REFUSED
    bulk.execute(
        entry(
            action,
            account(user, workspace_id) if user else Thing("User"),
            user=user if is_proved and is_by_user else None,
            before=before,
            after=after,
            outcome=outcome,
        )
        for workspace_id in workspaces or [None]
    )


def erase_names(user_id: uuid.UUID, workspace_id: uuid.UUID | None = None) -> int:
    """Puts a pseudonym in the place of a user's name, and of those of their keys; how many there were.

    None: in entries that are in no workspace. What is written for them afterwards gets the pseudonym too.
    """
    return put_pseudonym(AuditName.objects.filter(workspace_id=workspace_id or PLATFORM), user_id)
