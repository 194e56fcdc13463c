"""What a token costs, and what a model call costs by it. Pure arithmetic in `Decimal`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from agentplatform.lib.decimals import plain
from billing.tokens import Tokens

TOKENS_PER_PRICE = 1_000_000
# The ledger keeps 12 decimal places. Unit prices are cut to them before they are used, so that the
# cost can be recomputed exactly from what is stored.
SMALLEST = Decimal("1e-12")

# The kinds of tokens that may have prices of their own, by what they cost without one.
COSTS_LIKE = {
    "cached": "input",
    "cached_audio": "cached",
    "cache_write": "input",
    "input_audio": "input",
    "input_image": "input",
    "reasoning": "output",
    "output_audio": "output",
    "output_image": "output",
}
REQUEST = "request"


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
    """The prices of a model's tokens by their kind, `others` those of COSTS_LIKE that have one, and that of a call.

    `version` names the price list they stand in.
    """

    input: Rate
    output: Rate
    others: Mapping[str, Rate] = field(default_factory=dict)
    request: Decimal = Decimal(0)
    version: str = ""

    def of(self, kind: str) -> Rate:
        """What a kind of tokens costs: its own price, or that of what it is a part of."""
        if kind in ("input", "output"):
            return self.input if kind == "input" else self.output
        return self.others.get(kind) or self.of(COSTS_LIKE[kind])

    def used(self, tokens: Tokens) -> UsedPrices:
        """The prices that a call with these tokens has to do with, as its ledger entry keeps them."""
        parts = split(tokens)
        others = {
            kind: self.of(kind).at(tokens.input)
            for kind in COSTS_LIKE
            if parts[kind] and (kind in self.others or COSTS_LIKE[kind] in self.others)
        }
        if self.request and tokens:
            others[REQUEST] = self.request
        return UsedPrices(self.input.at(tokens.input), self.output.at(tokens.input), others)


@dataclass(frozen=True, slots=True)
class UsedPrices:
    """The unit prices of one call. `others` are by kind; a kind that is not there costs what its direction costs."""

    input: Decimal
    output: Decimal
    others: Mapping[str, Decimal] = field(default_factory=dict)

    def stored(self) -> dict[str, str]:
        """`others` as the ledger's JSON has them."""
        return {kind: plain(price) for kind, price in self.others.items()}

    @classmethod
    def from_stored(
        cls, input_price: Decimal, output_price: Decimal, others: Mapping[str, str]
    ) -> UsedPrices:
        return cls(input_price, output_price, {kind: Decimal(price) for kind, price in others.items()})

    def cost(self, tokens: Tokens) -> Decimal:
        """What a call with these tokens cost."""
        by_kind = {"input": self.input, "output": self.output, **self.others}
        parts = split(tokens)
        amounts = (
            count * by_kind.get(kind, self.output if direction_of(kind) == "output" else self.input)
            for kind, count in parts.items()
        )
        return sum(amounts, by_kind.get(REQUEST, Decimal(0)))


def per_token(per_million: Decimal) -> Decimal:
    return (per_million / TOKENS_PER_PRICE).quantize(SMALLEST)


def direction_of(kind: str) -> str:
    """`input` or `output`."""
    return kind if kind in ("input", "output") else direction_of(COSTS_LIKE[kind])


def split(tokens: Tokens) -> dict[str, int]:
    """The tokens by kind, each in one of them: `input` and `output` are what is of no other kind.

    Providers tell cached, written, audio and image tokens each by themselves. Only where they are more than the whole
    input are some known to be both, and those of audio have a kind of their own: `cached_audio`.
    """
    uncached = max(tokens.input - tokens.cached - tokens.cache_write, 0)
    input_audio = min(tokens.input_audio, uncached)
    cached_audio = min(tokens.input_audio - input_audio, tokens.cached)
    input_image = min(tokens.input_image, uncached - input_audio)
    reasoning = min(tokens.reasoning, tokens.output)
    output_audio = min(tokens.output_audio, tokens.output - reasoning)
    output_image = min(tokens.output_image, tokens.output - reasoning - output_audio)
    return {
        "input": uncached - input_audio - input_image,
        "cached": tokens.cached - cached_audio,
        "cached_audio": cached_audio,
        "cache_write": tokens.cache_write,
        "input_audio": input_audio,
        "input_image": input_image,
        "output": tokens.output - reasoning - output_audio - output_image,
        "reasoning": reasoning,
        "output_audio": output_audio,
        "output_image": output_image,
    }


def cost(tokens: Tokens, prices: UnitPrices | None) -> Decimal | None:
    """What a call cost, or None (never 0) where no price is known.

    Each token is charged once, by its own kind. A call that took no token, because it failed before its answer, costs
    nothing, whatever a request costs.
    """
    return None if prices is None else prices.used(tokens).cost(tokens)
