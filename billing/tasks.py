"""What this room does beside requests: it settles calls that nobody else can settle, and seals the ledger."""

from __future__ import annotations

from django.utils import timezone

from agentplatform.lib.hash_chain import seal_next
from agentplatform.lib.housekeeping import chore
from agentplatform.lib.outboxes import outbox
from billing import ledger
from billing.budgets import editing
from billing.sealing import LEDGER


@chore
def settle_forgotten_calls() -> bool:
    """Tests of models whose process ended before their answer came."""
    return ledger.settle_forgotten(timezone.now()) == ledger.BATCH


@outbox
def follow_time_zones() -> bool:
    """Budgets whose workspace has moved: their periods begin by the new clock."""
    return editing.follow_time_zones()


@outbox
def seal_usage() -> bool:
    """Entries of the ledger, in the order in which they were committed, more or less."""
    return seal_next(LEDGER)
