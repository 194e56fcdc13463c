"""The budget of one run: `limits.max_tokens`, `max_cost` and `timeout`, as they stand before a model call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from agentplatform.lib.decimals import plain
from runs.lifecycle.families import above, used_below
from runs.lifecycle.state import RunState, read

# From this part of a limit on its run warns of it, once.
WARNED_AT = Decimal("0.8")


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that is used up: its name, its value, what has been used (tokens, money or seconds), and what helps."""

    limit: str
    value: Any
    used: Any
    remedy: str = "Send a higher one in limits."

    @property
    def data(self) -> dict[str, Any]:
        """As `run_paused` and errors show it."""
        return {"reason": "budget_exceeded", **self.figures}

    @property
    def figures(self) -> dict[str, Any]:
        return {"limit": self.limit, "value": self.value, "used": self.used}


def exceeded(state: RunState, now: datetime) -> Excess | None:
    """The first limit that leaves no room for another model call, children's use included."""
    limits = state.limits
    if (most := limits.get("max_tokens")) and state.total_tokens >= most:
        return Excess("max_tokens", most, state.total_tokens)
    if most := limits.get("max_cost"):
        used = plain(state.total_cost)
        if state.total_cost >= Decimal(str(most)):
            return Excess("max_cost", most, used)
        if state.has_unpriced_calls and not limits.get("max_tokens"):
            # Calls without a price could go on for ever.
            return Excess("max_cost", most, used, "One of its models has no price: send max_tokens, too.")
    if (most := limits.get("timeout")) and (seconds := state.seconds_in_hand(now)) >= most:
        return Excess("timeout", most, round(seconds, 3))
    return None


def nearly_exceeded(state: RunState, tokens_before: int, cost_before: Decimal) -> list[Excess]:
    """The limits of which the run's last calls have used up the first WARNED_AT."""
    reached = []
    if most := state.limits.get("max_tokens"):
        line = WARNED_AT * most
        if tokens_before < line <= state.total_tokens:
            reached.append(Excess("max_tokens", most, state.total_tokens))
    if most := state.limits.get("max_cost"):
        line = WARNED_AT * Decimal(str(most))
        if cost_before < line <= state.total_cost:
            reached.append(Excess("max_cost", most, plain(state.total_cost)))
    return reached


def exceeded_above(state: RunState, now: datetime) -> Excess | None:
    """The same for the runs above a child: what it uses counts against their limits, beside all others below them."""
    for ancestor in read(above(state.id)) if state.is_child else ():
        if ancestor.limits:
            others = used_below(ancestor.id, without=[state.id])
            ancestor.child_input_tokens = others.input_tokens + state.input_tokens
            ancestor.child_output_tokens = others.output_tokens + state.output_tokens
            ancestor.child_cost = others.cost + state.cost
            ancestor.child_unpriced_calls = others.unpriced_calls + state.unpriced_calls
            if excess := exceeded(ancestor, now):
                return excess
    return None
