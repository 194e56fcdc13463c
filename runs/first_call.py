"""Whether budgets that block have room for what a run is about to do first."""

from __future__ import annotations

from typing import cast

from django.utils import timezone

from agentplatform.lib.ids import uuid7
from agents.pinned import load
from billing import ledger
from billing.budgets import listing, room
from runs.models import Run


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
    context = ledger.CallContext(
        workspace_id=run.workspace_id,
        currency=run.currency,
        run_id=run.pk,
        attempt=0,
        step=0,
        session_id=run.session_id,
        agent_id=run.agent_id,
        agent=run.agent_name,
        workflow=run.workflow_name,
        user_id=run.user_id,
        user=run.username,
        end_user=run.end_user,
        api_key_id=run.api_key_id,
        api_key=run.api_key_name,
        provider=provider,
        model=model,
    )
    asked = ledger.Tokens(input=ledger.estimate_tokens(len(run.input_query)))
    room.require_room(ledger.opened(context, uuid7(), asked, timezone.now(), most))
