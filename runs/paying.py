"""Who pays for the calls of a run."""

from __future__ import annotations

from billing.ledger import CallContext
from runs.models import Run


def call_context(run: Run, provider: str, model: str, *, attempt: int = 0, step: int = 0) -> CallContext:
    """Who pays for a run's call of a model, and for what.

    Of no attempt is what is called beside the engine; what a lost process leaves open of it housekeeping settles.
    """
    return CallContext(
        workspace_id=run.workspace_id,
        currency=run.currency,
        run_id=run.pk,
        attempt=attempt,
        step=step,
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
        workflow_id=run.workflow_id,
        tags=run.tags,
    )
