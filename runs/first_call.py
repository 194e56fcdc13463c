"""Whether budgets that block have room for what a run is about to do first."""

from __future__ import annotations

from typing import cast

from django.utils import timezone

from agentplatform.lib.ids import uuid7
from agents.pinned import load
from billing import ledger
from billing.budgets import listing, room
from runs.models import Run
from runs.paying import call_context


def require_room(run: Run) -> None:
    """Raises BudgetExceeded where a budget is spent already or, of an agent, has no room for its first model call.

    Of a workflow nobody knows yet which model it calls first.
    """
    if not listing.scopes([run.workspace_id])[run.workspace_id]:
        return
    provider, model, most = "", "", cast(int | None, 0)
    if run.agent_version_id and not run.is_workflow:
        called = load(run.agent_version_id, run.pins, run.config, run.overrides).model
        provider, model, most = called.provider, called.model, called.parameters.get("max_tokens")
    context = call_context(run, provider, model)
    asked = ledger.Tokens(input=ledger.estimate_tokens(len(run.input_query)))
    room.require_room(ledger.opened(context, uuid7(), asked, timezone.now(), most))
