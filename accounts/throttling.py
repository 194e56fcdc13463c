"""The brake on guessing passwords, and whose address counts. Counted in the cache, as rates are (`accounts.limits`)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from django.conf import settings
from django.core.cache.backends.base import BaseCache
from django.http import HttpRequest

from accounts.limits.rates import Rate, cache_key, counting, rate_of
from accounts.security import Kind, note
from agentplatform.lib.addresses import source_of
from agentplatform.lib.counters import count_one
from agentplatform.lib.errors import RateLimited

LONGEST_WAIT = 900
ADDRESS_ALLOWANCE = 10


class LoginGuard:
    """Slows guessing down: once the free failures are used up, each further one doubles the wait.

    One guard is for an address and a user name together, so that nobody can lock others out; a wider
    one is for the address alone, so that going through many names does not help.
    """

    def __init__(self, address: str, username: str) -> None:
        self.address = address
        # Whoever has an IPv6 address has a whole network of them.
        source = source_of(address)
        self.keys = {
            cache_key("login", f"{source}|{username.casefold()}"): 1,
            cache_key("login", source): ADDRESS_ALLOWANCE,
        }

    def enter(self) -> None:
        """Counts an attempt before it is made. Raises RateLimited while it must wait."""
        if (rate := rate_of("login")) is None:
            return
        try:
            counting(lambda cache: self._enter(cache, rate))
        except RateLimited:
            note(Kind.SIGN_IN_SLOWED, self.address)
            raise

    def succeeded(self) -> None:
        """Forgives the failures of this user name; those of the address stay, less this attempt."""
        counting(self._forgive)

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
        if until <= now and (attempts := count_one(cache, key, rate.seconds)) > rate.uses:
            wait = min(2 ** (attempts - rate.uses), LONGEST_WAIT)
            cache.touch(key, 2 * wait + rate.seconds)
            # Of attempts made at once only the one that sets the mark goes on.
            until = now if cache.add(_until(key), now + wait, wait) else now + wait
        if until > now:
            raise RateLimited(
                "Too many failed attempts to sign in; wait before the next.", retry_after=until - now
            )


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
