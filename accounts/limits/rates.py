"""Requests in a time, counted in the cache in windows of fixed length.

With Redis they hold for all processes together; without it, or while it does not answer, for each process. So a Redis
that is away refuses nobody, and opens no way to guess at will.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from agentplatform.lib.counters import count_each
from agentplatform.lib.errors import RateLimited, ServiceUnavailable

T = TypeVar("T")

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


class Rate(NamedTuple):
    """So many uses in so many seconds."""

    uses: int
    seconds: int


class Policy(NamedTuple):
    """A rate that holds for `key`, an address or somebody's id, under the name that clients know it by."""

    name: str
    rate: Rate
    key: str


class Use(NamedTuple):
    """What a policy has counted: uses so far, this one among them, and the seconds until it begins anew."""

    policy: Policy
    counted: int
    reset: float

    @property
    def remaining(self) -> int:
        return max(0, self.policy.rate.uses - self.counted)


def rate_of(scope: str) -> Rate | None:
    """The scope's rate from DEFAULT_THROTTLE_RATES (`"10/minute"`); None where it is empty: no limit."""
    rates: Any = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    return read_rate(rates.get(scope) or "")


@functools.cache
def read_rate(text: str) -> Rate | None:
    """`"10/minute"` as a rate; None of an empty text."""
    if not text:
        return None
    uses, _, period = text.partition("/")
    return Rate(int(uses), SECONDS[period])


def used(policies: Sequence[Policy]) -> list[Use]:
    """Counts one use of each policy, in one round trip to the cache, and in none without policies.

    Sync: with Redis it waits for the network, so async code calls it in the same thread as its other sync work.
    """
    if not policies:
        return []
    now = time.time()
    counters = {_counter(policy, now): policy.rate.seconds for policy in policies}
    counts = counting(lambda cache: count_each(cache, counters))
    return [
        Use(policy, count, policy.rate.seconds - now % policy.rate.seconds)
        for policy, count in zip(policies, counts, strict=True)
    ]


def refuse_beyond(uses: Sequence[Use]) -> None:
    """Raises RateLimited where a policy is used up, with the wait until all of them begin anew."""
    over = [use for use in uses if use.counted > use.policy.rate.uses]
    if not over:
        return
    longest = max(over, key=lambda use: use.reset)
    name, rate, _ = longest.policy
    raise RateLimited(
        f"More than {rate.uses} requests in {rate.seconds} seconds (limit {name!r}); wait for the rest of that time.",
        retry_after=longest.reset,
    )


def check_rate(scope: str, key: str) -> None:
    """Counts one use by `key` alone. Raises RateLimited beyond the scope's rate."""
    if rate := rate_of(scope):
        refuse_beyond(used([Policy(scope, rate, key)]))


def counting(count: Callable[[BaseCache], T]) -> T:
    """Counts in the cache that all processes share, or, while that does not answer, in this process's own."""
    try:
        return count(caches["default"])
    except ServiceUnavailable:
        return count(caches["own"])


def cache_key(scope: str, key: str) -> str:
    return f"rate:{scope}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _counter(policy: Policy, now: float) -> str:
    return cache_key(policy.name, f"{int(now // policy.rate.seconds)}:{policy.key}")
