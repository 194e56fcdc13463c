"""The chore of this room: calls that nobody can settle any more are settled."""

from __future__ import annotations

from django.utils import timezone

from agentplatform.lib.housekeeping import chore
from billing import ledger


@chore
def settle_forgotten_calls() -> bool:
    """Tests of models whose process ended before their answer came."""
    return ledger.settle_forgotten(timezone.now()) == ledger.BATCH
