"""Sums over the ledger's settled entries, and how groups of them are folded into one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

COUNTS = (
    "requests",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
SUMS = (*COUNTS, "unpriced_requests", "cost")

# One group: its keys, the COUNTS and `unpriced_requests` as int, `cost` as Decimal, or None where
# nothing in it is priced.
Totals = dict[str, Any]


def nothing() -> Totals:
    """The totals of no request at all, which cost nothing."""
    return dict.fromkeys(COUNTS, 0) | {"unpriced_requests": 0, "cost": Decimal(0)}


def fold(rows: Iterable[Mapping[str, Any]], currency: str, *keys: str) -> list[Totals]:
    """`rows` (of SUMS, `currency` and more) gathered by `keys`, the busiest first.

    Amounts of another currency than `currency` cannot be added to the rest: they are left out of `cost`.
    """
    groups: dict[tuple[Any, ...], Totals] = {}
    wanted = (*keys, *SUMS)
    for row in rows:
        key = tuple([row[name] for name in keys])
        if group := groups.get(key):
            _add(group, row, currency)
        else:
            groups[key] = group = {name: row[name] for name in wanted}
            if row["currency"] != currency:
                group["cost"] = None
    return sorted(groups.values(), key=lambda group: -group["requests"])


def without(totals: Mapping[str, Any], parts: Iterable[Mapping[str, Any]]) -> Totals:
    """What is left of `totals` when these parts of them, in the same currency, are taken away."""
    rest = {name: totals[name] or 0 for name in SUMS}
    for part in parts:
        for name in SUMS:
            rest[name] -= part[name] or 0
    is_unpriced = rest["requests"] and rest["requests"] == rest["unpriced_requests"] and not rest["cost"]
    return rest | {"cost": None if is_unpriced else Decimal(rest["cost"])}


def _add(group: Totals, row: Mapping[str, Any], currency: str) -> None:
    for name in (*COUNTS, "unpriced_requests"):
        group[name] += row[name]
    if row["cost"] is not None and row["currency"] == currency:
        group["cost"] = (group["cost"] or 0) + row["cost"]
