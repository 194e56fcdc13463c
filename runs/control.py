"""Who may steer a run."""

from __future__ import annotations

import uuid

from accounts.actor import Actor
from agentplatform.lib.errors import PermissionDenied
from runs.models import Run


def controllable(actor: Actor, run_id: uuid.UUID) -> Run:
    """The run, if the actor may steer it. Raises NotFound, PermissionDenied."""
    run: Run = Run.objects.named(actor, run_id)
    require_control(actor, run)
    return run


def require_control(actor: Actor, run: Run) -> None:
    """One's own runs are steered with `control:run`, others' with `control:all-runs`. Raises PermissionDenied."""
    actor.require("control:run")
    if run.user_id != actor.user_id and not actor.may("control:all-runs"):
        raise PermissionDenied("This run belongs to somebody else; steering it needs 'control:all-runs'.")
