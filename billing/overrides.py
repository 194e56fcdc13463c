"""The prices that workspaces have, their own and imported ones, kept in memory for a few seconds.

A model call is priced twice, so asking the database each time would put two queries on the hottest
path. Each process keeps what a workspace has for a model for `TTL_SECONDS`; within the process that changes
prices, `forget` makes the change count at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import Error, connection

from billing.models import Price
from billing.rates import COSTS_LIKE, Rate, UnitPrices, per_token

TTL_SECONDS = 3.0
MOST_KEPT = 20_000

logger = logging.getLogger(__name__)

Key = tuple[uuid.UUID, str, str]
"""Workspace, provider and model."""


@dataclass(frozen=True, slots=True)
class Validity:
    """A price, from when on it counts, and until when if somebody has said so."""

    valid_from: datetime
    valid_until: datetime | None
    is_imported: bool
    prices: UnitPrices

    def covers(self, at: datetime) -> bool:
        return self.valid_from <= at and (self.valid_until is None or at < self.valid_until)


# Those that began last first; of several versions only the newest.
PriceList = list[Validity]


@dataclass(frozen=True, slots=True)
class _Entry:
    prices: PriceList
    fresh_until: float


_entries: dict[Key, _Entry] = {}
# Django's queries may not run on an event loop's thread; a model call on one reads through this thread.
_reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prices")


def find(key: Key, at: datetime, *, is_imported: bool = False) -> UnitPrices | None:
    """The workspace's own price at that moment, or its imported one. Raises `django.db.Error`."""
    entry = _fresh(key) or _read_now(key)
    for one in entry.prices:
        if one.is_imported == is_imported and one.covers(at):
            return one.prices
    return None


async def prefetch(key: Key) -> None:
    """Makes sure that `find` will not wait for the database; returns at once while its answer is fresh."""
    if _fresh(key) is None:
        await asyncio.get_running_loop().run_in_executor(_reader, _renew_in_reader, key)


def forget(workspace_id: uuid.UUID) -> None:
    """Call after a change of the workspace's prices was committed."""
    for key in [key for key in list(_entries) if key[0] == workspace_id]:
        _entries.pop(key, None)


def _fresh(key: Key) -> _Entry | None:
    entry = _entries.get(key)
    return entry if entry and time.monotonic() < entry.fresh_until else None


def _read_now(key: Key) -> _Entry:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _renew(key)
    return _reader.submit(_renew_in_reader, key).result()


def _renew_in_reader(key: Key) -> _Entry:
    """`_renew` in the reader's thread, where callers queue: whoever comes second finds the list fresh."""
    if entry := _fresh(key):
        return entry
    try:
        return _renew(key)
    finally:
        connection.close()


def _renew(key: Key) -> _Entry:
    """Reads the list again. While the database does not answer, the list read last goes on."""
    try:
        prices = _read(key)
    except Error:
        if key not in _entries:
            raise
        logger.warning("Prices of workspace %s cannot be read; the last ones go on.", key[0], exc_info=True)
        prices = _entries[key].prices
    return _keep(key, prices)


def _keep(key: Key, prices: PriceList) -> _Entry:
    if len(_entries) >= MOST_KEPT:
        _entries.clear()
    entry = _entries[key] = _Entry(prices, time.monotonic() + TTL_SECONDS)
    return entry


def _read(key: Key) -> PriceList:
    workspace_id, provider, model = key
    rows = Price.objects.filter(workspace_id=workspace_id, provider=provider, model=model)
    newest: dict[tuple[datetime, bool], Price] = {}
    for row in rows.order_by("-valid_from", "version"):
        newest[row.valid_from, row.is_imported] = row
    return [
        Validity(row.valid_from, row.valid_until, row.is_imported, unit_prices(row))
        for row in newest.values()
    ]


def unit_prices(row: Price) -> UnitPrices:
    """The prices per token that a row says per million."""
    others = {kind: rate for kind in COSTS_LIKE if (rate := _rate(row, kind))}
    given, taken = _always(row, "input"), _always(row, "output")
    origin = row.source if row.is_imported else "workspace"
    request = Decimal(row.per_request or 0)
    return UnitPrices(given, taken, others, request, version=f"{origin}:{row.id}"[:64])


def _rate(row: Price, kind: str) -> Rate | None:
    return None if getattr(row, f"{kind}_per_million") is None else _always(row, kind)


def _always(row: Price, kind: str) -> Rate:
    name = f"{kind}_per_million"
    base = getattr(row, name)
    steps = [(tier["above"], per_token(Decimal(tier[name]))) for tier in row.tiers if name in tier]
    return Rate(per_token(Decimal(base)), tuple(sorted(steps)))
