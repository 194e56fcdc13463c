"""Model calls for tests of budgets: opened and settled as the platform does, at whatever moment."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from accounts.models import Workspace
from agentplatform.lib import bulk
from billing import ledger
from billing.budgets.room import Room, Shortfall
from billing.ledger import CallContext, Tokens
from billing.models import Budget, BudgetPeriod, Outcome, UsageRecord
from billing.reconciliation import Difference, Scope, reconcile

# What PriceFactory's model costs: 2 and 8 per million tokens.
MODEL = "house-model"


@dataclass
class Calls:
    """Makes calls of one context."""

    context: CallContext
    opened: dict[uuid.UUID, UsageRecord] = field(default_factory=dict)

    @classmethod
    def of(cls, workspace, **who) -> Calls:
        nobody = {
            **{"run_id": None, "session_id": None, "agent_id": None, "user_id": None, "api_key_id": None},
            **{
                "attempt": 1,
                "step": 0,
                "agent": "",
                "workflow": "",
                "user": "",
                "end_user": "",
                "api_key": "",
            },
            **{"provider": "openai", "model": MODEL, "currency": "USD"},
        }
        return cls(CallContext(**{**nobody, "workspace_id": workspace.pk, **who}))

    def open(
        self, input_tokens: int = 1000, most_output: int = 1000, at: datetime | None = None, **who
    ) -> uuid.UUID | Shortfall:
        """The call's id, or why there is no room."""
        at, context, call_id = at or timezone.now(), replace(self.context, **who), uuid.uuid4()
        record = ledger.opened(context, call_id, Tokens(input=input_tokens), at, most_output)
        with transaction.atomic():
            room = Room([record], at)
            if refused := room.take([record]):
                bulk.execute(room.statements())
                return refused[call_id]
            bulk.execute([*room.statements(), *ledger.appending([record])])
        self.opened[call_id] = record
        return call_id

    def settle(
        self, call_id: uuid.UUID, tokens: Tokens | None = None, at: datetime | None = None, **who
    ) -> None:
        """By default it took 1000 tokens each way, which cost 0.01."""
        taken = Tokens(input=1000, output=1000) if tokens is None else tokens
        context = replace(self.context, **who)
        ledger.append([ledger.settled(context, call_id, taken, Outcome.OK, at or timezone.now())])

    def make(self, tokens: Tokens | None = None, at: datetime | None = None, **who) -> uuid.UUID:
        """A whole call. Fails where there is no room."""
        call_id = self.open(at=at, **who)
        assert isinstance(call_id, uuid.UUID), call_id.message
        self.settle(call_id, tokens, at, **who)
        return call_id


def counted(budget: Budget) -> tuple[Decimal, Decimal, int, int]:
    """Money spent and reserved, tokens spent and reserved, over all periods."""
    rows = list(BudgetPeriod.objects.filter(budget=budget))
    return (
        sum((row.spent_amount for row in rows), Decimal(0)),
        sum((row.reserved_amount for row in rows), Decimal(0)),
        sum(row.spent_tokens for row in rows),
        sum(row.reserved_tokens for row in rows),
    )


def differences() -> list[Difference]:
    """What any budget has counted otherwise than the ledger says."""
    scopes = [Scope(workspace.pk, workspace.slug) for workspace in Workspace.objects.all()]
    return [
        one for scope in scopes for found in reconcile(scope, only=["budgets"]) for one in found.differences
    ]
