"""Tickets: each opens one WebSocket or EventSource from a browser, which can send no header.

Without them a token would stand in the URL, and so in logs.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Ticket
from agentplatform.lib.errors import PermissionDenied
from agentplatform.lib.secrets import new_token, token_hash

LIFETIME = timedelta(seconds=30)
TAKE = """
    DELETE FROM accounts_ticket WHERE hash = %s
    RETURNING membership_id, api_key_id, expires_at > now(), credential_expires_at
"""


class Taken(NamedTuple):
    """What a ticket stood for."""

    membership_id: UUID
    api_key_id: UUID | None
    is_valid: bool
    credential_expires_at: datetime | None


def issue_ticket(actor: Actor) -> str:
    """A ticket with the actor's permissions, for one use within LIFETIME."""
    if actor.membership_id is None:
        raise PermissionDenied("Only members of the workspace can get a ticket.")
    text = new_token()
    Ticket.objects.create(
        hash=token_hash(text),
        membership_id=actor.membership_id,
        api_key_id=actor.api_key_id,
        expires_at=timezone.now() + LIFETIME,
        credential_expires_at=actor.expires_at,
    )
    return text


def take_ticket(text: str) -> Taken | None:
    """Uses a ticket up. Of many that try at once the database lets one have it."""
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [token_hash(text)])
        row = cursor.fetchone()
    taken = Taken(*row) if row else None
    return taken if taken and taken.is_valid else None
