"""Which calls a budget is of: those of its workspace that agree with all that it names.

Said for a call at hand (`Scope`), and in SQL for many (`IS_OF`), of which the ledger's trigger has a copy in its
migration.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Self

from billing.models import Budget, UsageRecord

FIELDS = ("agent_id", "user_id", "api_key_id", "provider", "model")

# That `entry`, a row of the ledger, is of `budget`.
IS_OF = """
    entry.workspace_id = budget.workspace_id
    AND (budget.agent_id IS NULL OR budget.agent_id = entry.agent_id)
    AND (budget.user_id IS NULL OR budget.user_id = entry.user_id)
    AND (budget.api_key_id IS NULL OR budget.api_key_id = entry.api_key_id)
    AND (budget.provider = '' OR budget.provider = entry.provider)
    AND (budget.model = '' OR budget.model = entry.model)
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """A budget's id, and whose calls it is of: None and empty mean any. All are of one workspace."""

    id: uuid.UUID
    agent_id: uuid.UUID | None
    user_id: uuid.UUID | None
    api_key_id: uuid.UUID | None
    provider: str
    model: str

    @classmethod
    def of(cls, budget: Budget) -> Self:
        return cls(budget.pk, *(getattr(budget, name) for name in FIELDS))

    def has(self, record: UsageRecord) -> bool:
        """Whether a call of its workspace counts for the budget."""
        return (
            self.agent_id in (None, record.agent_id)
            and self.user_id in (None, record.user_id)
            and self.api_key_id in (None, record.api_key_id)
            and self.provider in ("", record.provider)
            and self.model in ("", record.model)
        )
