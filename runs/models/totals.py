"""What a run has used, together with the runs that its tools have started."""

from __future__ import annotations

from decimal import Decimal


class FamilyTotals:
    """Sums over a run's own figures and its children's, wherever those stand as attributes."""

    __slots__ = ()

    input_tokens: int
    output_tokens: int
    cost: Decimal
    unpriced_calls: int
    child_input_tokens: int
    child_output_tokens: int
    child_cost: Decimal
    child_unpriced_calls: int

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens + self.child_input_tokens + self.child_output_tokens

    @property
    def total_cost(self) -> Decimal:
        """Without the calls whose price is not known."""
        return self.cost + self.child_cost

    @property
    def has_unpriced_calls(self) -> bool:
        """Whether a price is missing, so that its cost is not known."""
        return bool(self.unpriced_calls or self.child_unpriced_calls)
