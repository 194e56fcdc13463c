"""Accounts for trials of models: `agents` makes the call, `billing` has the ledger, and neither knows the other.

Importing this module registers the meter, which `RunsConfig` does when Django starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils import timezone

from agentplatform.lib.ids import uuid7
from agents.trials import PaidCall, Trial, account_with
from billing import ledger
from billing.models import Outcome


def open_call(call: PaidCall) -> Callable[[Trial], None]:
    """A `Meter`: opens the call in the ledger; what it answers settles it."""
    context, call_id = _context(call), uuid7()
    asked = ledger.estimate_tokens(len(call.prompt))
    ledger.append([ledger.opened(context, call_id, ledger.Tokens(input=asked), timezone.now())])

    def settle(trial: Trial) -> None:
        outcome = Outcome.OK if trial.ok else Outcome.FAILED
        tokens = _used(trial.result, asked) if trial.result else ledger.Tokens()
        ledger.append([ledger.settled(context, call_id, tokens, outcome, timezone.now())])

    return settle


def _used(result: dict[str, Any], asked: int) -> ledger.Tokens:
    """What the endpoint says; where it says nothing, an estimate is better than a free call."""
    written = ledger.estimate_tokens(len(result["content"]))
    return ledger.Tokens.from_usage_metadata(result["usage"]) or ledger.Tokens(input=asked, output=written)


def _context(call: PaidCall) -> ledger.CallContext:
    return ledger.CallContext(
        workspace_id=call.workspace.pk,
        currency=call.workspace.currency,
        run_id=None,
        attempt=1,
        step=0,
        session_id=None,
        agent_id=None,
        agent="",
        workflow="",
        user_id=call.actor.user_id,
        user=call.actor.username,
        end_user="",
        api_key_id=call.actor.api_key_id,
        api_key=call.actor.api_key_name,
        provider=call.model.provider,
        model=call.model.model,
    )


account_with(open_call)
