"""The prices that workspaces set themselves, kept in memory for a few seconds.

A model call is priced twice, so asking the database each time would put two queries on the hottest
path. Each process keeps a workspace's whole list for `TTL_SECONDS`; within the process that changes
a list, `forget` makes the change count at once.
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
from billing.rates import Rate, UnitPrices, per_token

TTL_SECONDS = 3.0
MOST_WORKSPACES = 10_000

logger = logging.getLogger(__name__)

# Newest first, by provider and model.
PriceList = dict[tuple[str, str], list[tuple[datetime, UnitPrices]]]


@dataclass(frozen=True, slots=True)
class _Entry:
    prices: PriceList
    fresh_until: float


_entries: dict[uuid.UUID, _Entry] = {}
# Django's queries may not run on an event loop's thread; a model call on one reads through this thread.
_reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prices")


def find(workspace_id: uuid.UUID, provider: str, model: str, at: datetime) -> UnitPrices | None:
    """The workspace's own price at that moment, if any. Raises `django.db.Error` where it cannot be read."""
    entry = _fresh(workspace_id) or _read_now(workspace_id)
    for valid_from, prices in entry.prices.get((provider, model), ()):
        if valid_from <= at:
            return prices
    return None


async def prefetch(workspace_id: uuid.UUID) -> None:
    """Makes sure that `find` will not wait for the database; returns at once while the list is fresh."""
    if _fresh(workspace_id) is None:
        await asyncio.get_running_loop().run_in_executor(_reader, _renew_in_reader, workspace_id)


def forget(workspace_id: uuid.UUID) -> None:
    """Call after a change of the workspace's prices was committed."""
    _entries.pop(workspace_id, None)


def _fresh(workspace_id: uuid.UUID) -> _Entry | None:
    entry = _entries.get(workspace_id)
    return entry if entry and time.monotonic() < entry.fresh_until else None


def _read_now(workspace_id: uuid.UUID) -> _Entry:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _renew(workspace_id)
    return _reader.submit(_renew_in_reader, workspace_id).result()


def _renew_in_reader(workspace_id: uuid.UUID) -> _Entry:
    """`_renew` in the reader's thread, where callers queue: whoever comes second finds the list fresh."""
    if entry := _fresh(workspace_id):
        return entry
    try:
        return _renew(workspace_id)
    finally:
        connection.close()


def _renew(workspace_id: uuid.UUID) -> _Entry:
    """Reads the list again. While the database does not answer, the list read last goes on."""
    try:
        prices = _read(workspace_id)
    except Error:
        if workspace_id not in _entries:
            raise
        logger.warning(
            "Prices of workspace %s cannot be read; the last ones go on.", workspace_id, exc_info=True
        )
        prices = _entries[workspace_id].prices
    return _keep(workspace_id, prices)


def _keep(workspace_id: uuid.UUID, prices: PriceList) -> _Entry:
    if len(_entries) >= MOST_WORKSPACES:
        _entries.clear()
    entry = _entries[workspace_id] = _Entry(prices, time.monotonic() + TTL_SECONDS)
    return entry


def _read(workspace_id: uuid.UUID) -> PriceList:
    prices: PriceList = {}
    for row in Price.objects.filter(workspace_id=workspace_id).order_by("-valid_from"):
        prices.setdefault((row.provider, row.model), []).append((row.valid_from, _unit_prices(row)))
    return prices


def _unit_prices(row: Price) -> UnitPrices:
    def rate(per_million: Decimal | None) -> Rate:
        return Rate(per_token(row.input_per_million if per_million is None else per_million))

    return UnitPrices(
        input=rate(row.input_per_million),
        cached=rate(row.cached_per_million),
        cache_write=rate(row.cache_write_per_million),
        output=rate(row.output_per_million),
        version=f"workspace:{row.id}",
    )
