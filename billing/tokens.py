"""How many tokens a model call took, as the ledger counts them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# No model takes as much in one call: a larger count is an endpoint's mistake, and must still fit the ledger.
MOST_TOKENS = 1_000_000_000
CHARACTERS_PER_TOKEN = 4
# Providers that know the life of a cache entry report the written tokens by it, and then no `cache_creation`.
CACHE_WRITES = ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
# Of calls in another service tier langchain-openai reports these parts under a name of their own.
SERVICE_TIERS = ("", "priority_", "flex_")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts of one model call.

    `input` includes `cached`, `cache_write`, audio and images, `output` includes `reasoning`, audio and images. It is
    false where nothing was counted, so that `Tokens.from_usage_metadata(usage) or estimate` falls back to an estimate.
    """

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    input_image: int = 0
    output_image: int = 0

    def __bool__(self) -> bool:
        return self.input > 0 or self.output > 0

    @classmethod
    def from_usage_metadata(cls, usage: Mapping[str, Any] | None) -> Tokens:
        """The counts in LangChain's `UsageMetadata`.

        Missing and impossible ones are 0; a whole is at least the sum of its parts. Audio and images of the input may
        have been cached, so those are parts of their own.
        """
        usage = _mapping(usage)
        inputs = _mapping(usage.get("input_token_details"))
        outputs = _mapping(usage.get("output_token_details"))
        cached = _sum(inputs, "cache_read")
        cache_write = _sum(inputs, *CACHE_WRITES)
        input_audio, input_image = _sum(inputs, "audio"), _sum(inputs, "image")
        reasoning, output_audio, output_image = (
            _sum(outputs, "reasoning"), _sum(outputs, "audio"), _sum(outputs, "image")
        )  # fmt: skip
        return cls(
            input=max(_count(usage.get("input_tokens")), cached + cache_write, input_audio + input_image),
            cached=cached,
            cache_write=cache_write,
            output=max(_count(usage.get("output_tokens")), reasoning + output_audio + output_image),
            reasoning=reasoning,
            input_audio=input_audio,
            output_audio=output_audio,
            input_image=input_image,
            output_image=output_image,
        )


def estimate_tokens(text_length: int) -> int:
    """About how many tokens a text of `text_length` characters is, rounded up."""
    return -(-text_length // CHARACTERS_PER_TOKEN)


def _sum(details: Mapping[str, Any], *keys: str) -> int:
    counts = (_count(details.get(tier + key)) for key in keys for tier in SERVICE_TIERS)
    return min(sum(counts), MOST_TOKENS)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return min(max(value, 0), MOST_TOKENS)
