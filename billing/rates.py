"""What a token costs, and what a model call costs by it. Pure arithmetic in `Decimal`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from billing.tokens import Tokens

TOKENS_PER_PRICE = 1_000_000
# The ledger keeps 12 decimal places. Unit prices are cut to them before they are used, so that the
# cost can be recomputed exactly from what is stored.
SMALLEST = Decimal("1e-12")


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one token. `steps` are (input tokens, price): above so many all tokens cost that."""

    base: Decimal
    steps: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        """The price of one token in a call with so many input tokens."""
        for above, price in reversed(self.steps):
            if input_tokens > above:
                return price
        return self.base


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """The prices of a model's tokens by their kind. `version` names the price list they stand in."""

    input: Rate
    cached: Rate
    cache_write: Rate
    output: Rate
    version: str


def per_token(per_million: Decimal) -> Decimal:
    return (per_million / TOKENS_PER_PRICE).quantize(SMALLEST)


def cost(tokens: Tokens, prices: UnitPrices | None) -> Decimal | None:
    """What a call cost, or None (never 0) where no price is known.

    Cached and written tokens are part of the input and have their own prices; reasoning tokens are part
    of the output and cost the same.
    """
    if prices is None:
        return None
    fresh = max(tokens.input - tokens.cached - tokens.cache_write, 0)
    counts = (
        (fresh, prices.input),
        (tokens.cached, prices.cached),
        (tokens.cache_write, prices.cache_write),
        (tokens.output, prices.output),
    )
    return sum((count * rate.at(tokens.input) for count, rate in counts), Decimal(0))
