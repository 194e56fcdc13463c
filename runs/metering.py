"""Accounts for calls of models that no run's engine makes: `agents` makes them, `billing` has the ledger, and neither
knows the other. Tells `billing` which agents there are, for the same reason.

A call that a run's tool makes is the run's: it counts for its totals and limits. Importing this module registers the
meter, which `RunsConfig` does when Django starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Protocol
from uuid import UUID

from django.utils import timezone

from accounts.models import Workspace
from agentplatform.lib.ids import uuid7
from agents.metering import PaidCall, Spent, account_with
from agents.models import Agent
from agents.providers.base import EMBEDDING
from agents.specification import ModelSpecification
from billing import ledger
from billing.budgets import room
from billing.budgets.targets import Named, find_agents_with
from billing.models import Outcome, UsageRecord


class Run(Protocol):
    """A run on whose behalf calls are made."""

    def call_context(self, model: ModelSpecification) -> ledger.CallContext:
        """Who pays, and for what."""

    def settle(self, record: UsageRecord) -> None:
        """Takes what a call has used. May be called in any thread."""


on_behalf_of: ContextVar[Run | None] = ContextVar("on_behalf_of", default=None)
"""The run whose tool is being called. A graph calls its tools by itself, so whoever watches over its calls sets it."""


def open_call(call: PaidCall) -> Callable[[Spent], None]:
    """A `Meter`: opens the call in the ledger; what it answers settles it. Raises BudgetExceeded."""
    run = on_behalf_of.get()
    context, call_id = run.call_context(call.model) if run else _context(call), uuid7()
    asked = ledger.estimate_tokens(call.characters)
    room.open_call(
        ledger.opened(context, call_id, ledger.Tokens(input=asked), timezone.now(), _most_output(call))
    )

    def settle(spent: Spent) -> None:
        outcome = Outcome.OK if spent.ok else Outcome.FAILED
        tokens = _used(spent, asked) if spent.ok else ledger.Tokens()
        record = ledger.settled(context, call_id, tokens, outcome, timezone.now())
        if run:
            run.settle(record)
        else:
            ledger.append([record])

    return settle


def _most_output(call: PaidCall) -> int | None:
    """An embedding is no text."""
    return 0 if call.model.purpose == EMBEDDING else call.model.parameters.get("max_tokens")


def _used(spent: Spent, asked: int) -> ledger.Tokens:
    """What the endpoint says; where it says nothing, an estimate is better than a free call."""
    written = ledger.estimate_tokens(spent.characters) if spent.characters else 0
    return ledger.Tokens.from_usage_metadata(dict(spent.usage)) or ledger.Tokens(input=asked, output=written)


def _context(call: PaidCall) -> ledger.CallContext:
    return ledger.CallContext(
        workspace_id=call.workspace_id,
        currency=Workspace.objects.values_list("currency", flat=True).get(pk=call.workspace_id),
        run_id=None,
        attempt=1,
        step=0,
        session_id=None,
        agent_id=None,
        agent="",
        workflow="",
        user_id=call.payer.user_id,
        user=call.payer.username,
        end_user="",
        api_key_id=call.payer.api_key_id,
        api_key=call.payer.api_key_name,
        provider=call.model.provider,
        model=call.model.model,
    )


def _has_agent(workspace_id: UUID, agent_id: UUID) -> bool:
    return Agent.objects.filter(workspace_id=workspace_id, pk=agent_id).exists()


def _agents_of(workspace_ids: Iterable[UUID]) -> Named:
    found = Agent.objects.filter(workspace_id__in=workspace_ids).order_by("name")
    return list(found.values_list("pk", "name"))


account_with(open_call)
find_agents_with(_has_agent, _agents_of)
