"""Rate limits that any code can ask for, and the brake on guessing passwords. Counted in the cache.

With Redis the limits hold for all processes together; without it, or while it does not answer, for each process.
So a Redis that is away refuses nobody, and opens no way to guess at will.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.http import HttpRequest

from agentplatform.lib.errors import RateLimited, ServiceUnavailable

T = TypeVar("T")

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
LONGEST_WAIT = 900
ADDRESS_ALLOWANCE = 10


class Rate(NamedTuple):
    """So many uses in so many seconds."""

    uses: int
    seconds: int


def rate_of(scope: str) -> Rate | None:
    """The scope's rate from DEFAULT_THROTTLE_RATES (`"10/minute"`); None where it is empty: no limit."""
    rates: Any = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    text = rates.get(scope)
    if not text:
        return None
    uses, _, period = text.partition("/")
    return Rate(int(uses), SECONDS[period])


def check_rate(scope: str, key: str) -> None:
    """Counts one use by `key` (an address, `actor.key`). Raises RateLimited beyond the scope's rate.

    Sync: with Redis it waits for the network, so async code calls it in the same thread as its other
    sync work.
    """
    if (rate := rate_of(scope)) is None:
        return
    window, elapsed = divmod(time.time(), rate.seconds)
    counter = _cache_key(scope, f"{int(window)}:{key}")
    used = _counting(lambda cache: _count_one(cache, counter, rate.seconds))
    if used > rate.uses:
        raise RateLimited(
            f"More than {rate.uses} requests in {rate.seconds} seconds; wait for the rest of that time.",
            retry_after=rate.seconds - elapsed,
        )


class LoginGuard:
    """Slows guessing down: once the free failures are used up, each further one doubles the wait.

    One guard is for an address and a user name together, so that nobody can lock others out; a wider
    one is for the address alone, so that going through many names does not help.
    """

    def __init__(self, address: str, username: str) -> None:
        self.keys = {
            _cache_key("login", f"{address}|{username.casefold()}"): 1,
            _cache_key("login", address): ADDRESS_ALLOWANCE,
        }

    def enter(self) -> None:
        """Counts an attempt before it is made. Raises RateLimited while it must wait."""
        if (rate := rate_of("login")) is None:
            return
        _counting(lambda cache: self._enter(cache, rate))

    def succeeded(self) -> None:
        """Forgives the failures of this user name; those of the address stay, less this attempt."""
        _counting(self._forgive)

    def _forgive(self, cache: BaseCache) -> None:
        own, address = self.keys
        cache.delete_many([own, _until(own)])
        if cache.get(address):
            cache.decr(address)

    def _enter(self, cache: BaseCache, rate: Rate) -> None:
        for key, allowance in self.keys.items():
            self._count_attempt(cache, key, Rate(rate.uses * allowance, rate.seconds))

    def _count_attempt(self, cache: BaseCache, key: str, rate: Rate) -> None:
        now = time.time()
        until = cache.get(_until(key), 0)
        if until <= now and (attempts := _count_one(cache, key, rate.seconds)) > rate.uses:
            wait = min(2 ** (attempts - rate.uses), LONGEST_WAIT)
            cache.touch(key, 2 * wait + rate.seconds)
            # Of attempts made at once only the one that sets the mark goes on.
            until = now if cache.add(_until(key), now + wait, wait) else now + wait
        if until > now:
            raise RateLimited(
                "Too many failed attempts to sign in; wait before the next.", retry_after=until - now
            )


def _counting(count: Callable[[BaseCache], T]) -> T:
    """Counts in the cache that all processes share, or, while that does not answer, in this process's own."""
    try:
        return count(caches["default"])
    except ServiceUnavailable:
        return count(caches["own"])


def _count_one(cache: BaseCache, key: str, seconds: int) -> int:
    """Adds one to a counter that ends by itself after `seconds`."""
    if cache.add(key, 1, seconds):
        return 1
    try:
        return cache.incr(key)
    except ValueError:  # It ended in between.
        cache.set(key, 1, seconds)
        return 1


def _cache_key(scope: str, key: str) -> str:
    return f"rate:{scope}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _until(key: str) -> str:
    return f"{key}:until"


def client_address(request: HttpRequest) -> str:
    """The address that a request came from, seen past TRUSTED_PROXIES proxies of ours."""
    return address_behind_proxies(request.headers, request.META.get("REMOTE_ADDR", ""))


def address_behind_proxies(headers: Mapping[str, str], peer: str) -> str:
    """The client's address, given lower-case headers and the address of whoever connected.

    Each proxy appends the address that it was connected from to X-Forwarded-For, so the entry to
    believe stands as many places from the right as there are trusted proxies; what is left of it may
    be invented.
    """
    trusted: int = settings.TRUSTED_PROXIES
    chain = [part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part.strip()]
    return chain[-trusted] if trusted and len(chain) >= trusted else peer
