"""Counting in a cache: counters that end by themselves, several of them in one round trip."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.cache.backends.base import BaseCache


def count_each(cache: BaseCache, counters: Mapping[str, int]) -> list[int]:
    """Adds one to each counter; `counters` says in how many seconds each ends. What they are then, in that order."""
    if not counters:
        return []
    together = getattr(cache, "count_each", None)
    if together is not None:
        counted: list[int] = together(counters)
        return counted
    return [count_one(cache, key, seconds) for key, seconds in counters.items()]


def count_one(cache: BaseCache, key: str, seconds: int) -> int:
    """Adds one to a counter that ends by itself after `seconds`."""
    if cache.add(key, 1, seconds):
        return 1
    try:
        return cache.incr(key)
    except ValueError:  # It ended in between.
        cache.set(key, 1, seconds)
        return 1
