"""Calls that are taken back.

A client takes a call back by closing its stream, or, before MCP 2026-07-28, by `notifications/cancelled` in another
request, which may reach another process. So a run remembers the call that it answers: the session id that the
client was given, and the number that it gave its request.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import Conflict, NotFound
from agentplatform.lib.text import storable
from runs import lifecycle, live
from runs.models import TERMINAL, Run

METADATA = "mcp"
LONGEST_ID = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """Which call of which client asks for a run. Without a session id nothing tells two clients apart."""

    session_id: str = ""
    request_id: int | str | None = None

    def metadata(self) -> dict[str, Any]:
        """What the run keeps of it."""
        return {METADATA: storable({"session_id": self.session_id, "request_id": self.request_id})}

    @property
    def is_known(self) -> bool:
        """Whether it names one call."""
        return (
            bool(self.session_id) and self.request_id is not None and len(str(self.request_id)) <= LONGEST_ID
        )


def take_back(actor: Actor, origin: Origin) -> None:
    """Cancels the run of a call that this very caller has made, if there is one that has not ended."""
    if not origin.is_known:
        return
    own = Run.objects.visible_to(actor).filter(user_id=actor.user_id, api_key_id=actor.api_key_id)
    called = own.filter(metadata__contains=origin.metadata()).exclude(status__in=TERMINAL)
    for run_id in called.values_list("pk", flat=True):
        cancel_own(run_id, "Its MCP client has cancelled the call.")
        audit.record(Action.RUN_CANCELLED, audit.Thing("Run", run_id), actor=actor)


def cancel_own(run_id: uuid.UUID, reason: str) -> None:
    """Cancels the run of a call; one that has ended, or was never started, stays as it is."""
    with suppress(Conflict, NotFound):
        live.announce(lifecycle.cancel(run_id, reason))
