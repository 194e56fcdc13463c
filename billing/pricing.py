"""The price of a model at a moment: the workspace's own first, else the built-in list of `genai-prices`.

The built-in list ships with the package and is read without a network; its updater is never started.
It is in US dollars, so a workspace with another currency has only the prices that it sets itself, in
its currency: without one the cost stays empty. The list goes by provider and model and knows nothing
of addresses: who serves a model under a listed name on machines of their own sets a price of their own.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import threading
import uuid
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db import Error

from billing import overrides
from billing.overrides import forget
from billing.rates import Rate, UnitPrices, cost, per_token

__all__ = ["Rate", "UnitPrices", "cost", "forget", "prefetch", "price"]

BUILT_IN_CURRENCY = "USD"

MOST_LISTED = 1024

logger = logging.getLogger(__name__)

_listed: dict[tuple[str, str], Any | None] = {}
_reading = threading.Lock()


def price(
    workspace_id: uuid.UUID, provider: str, model: str, at: datetime, currency: str = BUILT_IN_CURRENCY
) -> UnitPrices | None:
    """The prices per token in the workspace's `currency`, or None where none is known.

    May be called on an event loop; `await prefetch(…)` before it keeps the loop from waiting
    for the database once in a while. A price that cannot be looked up is unknown: it never breaks a run.
    """
    try:
        own = overrides.find(workspace_id, provider, model, at)
    except Error:
        logger.warning(
            "Prices of workspace %s cannot be read; its calls go unpriced.", workspace_id, exc_info=True
        )
        return None
    if own is not None or currency != BUILT_IN_CURRENCY:
        return own
    # No listed price begins within a minute, so one conversion serves all calls of it.
    return _built_in(provider, model, at.replace(second=0, microsecond=0))


async def prefetch(workspace_id: uuid.UUID, provider: str, model: str) -> None:
    """Makes sure that `price` will neither wait for the database nor read the built-in list."""
    await overrides.prefetch(workspace_id)
    if (provider, model) not in _listed:
        await asyncio.to_thread(_find_listed, provider, model)


def _find_listed(provider: str, model: str) -> Any | None:
    """The list's `ModelInfo`, or None.

    The list is 20 MB in memory and an entry next to nothing, so it is read, asked and let go.
    """
    import genai_prices
    from genai_prices.data_snapshot import DataSnapshot

    key = (provider, model)
    with suppress(KeyError):
        return _listed[key]
    with _reading:
        if key not in _listed:
            if len(_listed) >= MOST_LISTED:
                _listed.clear()
            providers = importlib.import_module("genai_prices.data").providers
            try:
                _listed[key] = DataSnapshot(providers, False).find_provider_model(
                    model, None, provider, None
                )[1]
            except LookupError:
                _listed[key] = None
            del sys.modules["genai_prices.data"]
            delattr(genai_prices, "data")
        return _listed[key]


def _built_in_version() -> str:
    import genai_prices

    return f"genai-prices:{genai_prices.__version__}"


@lru_cache(maxsize=1024)
def _built_in(provider: str, model: str, at: datetime) -> UnitPrices | None:
    listed = _find_listed(provider, model)
    if listed is None:
        return None
    prices = listed.get_prices(at)
    if prices.input_mtok is None or prices.output_mtok is None:
        return None
    return UnitPrices(
        input=_rate(prices.input_mtok),
        cached=_rate(prices.cache_read_mtok, prices.input_mtok),
        cache_write=_rate(prices.cache_write_mtok, prices.input_mtok),
        output=_rate(prices.output_mtok),
        version=_built_in_version(),
    )


def _rate(per_million: Any, otherwise: Any = None) -> Rate:
    """A `Decimal`, or a `TieredPrices` with a base and tiers by the length of the input."""
    if per_million is None:
        return _rate(otherwise)
    if isinstance(per_million, Decimal):
        return Rate(per_token(per_million))
    steps = tuple((tier.start, per_token(tier.price)) for tier in per_million.tiers)
    return Rate(per_token(per_million.base), steps)
