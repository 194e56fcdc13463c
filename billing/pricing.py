"""The price of a model at a moment: the workspace's own, else the one it has imported, else the built-in list of
`genai-prices`.

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db import Error

from billing import overrides
from billing.overrides import forget
from billing.rates import SMALLEST, Rate, UnitPrices, cost, per_token

__all__ = ["Rate", "UnitPrices", "cost", "forget", "prefetch", "price"]

BUILT_IN_CURRENCY = "USD"

MOST_LISTED = 1024
# What the list calls the prices of kinds of tokens.
LISTED_AS = {
    "cached": "cache_read_mtok",
    "cached_audio": "cache_audio_read_mtok",
    "cache_write": "cache_write_mtok",
    "input_audio": "input_audio_mtok",
    "input_image": "input_image_mtok",
    "reasoning": "output_reasoning_mtok",
    "output_audio": "output_audio_mtok",
    "output_image": "output_image_mtok",
}

logger = logging.getLogger(__name__)

_listed: dict[tuple[str, str], tuple[str, Any] | None] = {}
_reading = threading.Lock()


def price(
    workspace_id: uuid.UUID, provider: str, model: str, at: datetime, currency: str = BUILT_IN_CURRENCY
) -> UnitPrices | None:
    """The prices per token in the workspace's `currency`, or None where none is known.

    May be called on an event loop; `await prefetch(…)` before it keeps the loop from waiting
    for the database once in a while. A price that cannot be looked up is unknown: it never breaks a run.
    """
    try:
        return known_price(workspace_id, provider, model, at, currency)
    except Error:
        logger.warning(
            "Prices of workspace %s cannot be read; its calls go unpriced.", workspace_id, exc_info=True
        )
        return None


def known_price(
    workspace_id: uuid.UUID, provider: str, model: str, at: datetime, currency: str
) -> UnitPrices | None:
    """The same, for who would rather fail than take a price for unknown: raises `django.db.Error`."""
    own = overrides.find((workspace_id, provider, model), at)
    if own is not None or currency != BUILT_IN_CURRENCY:
        return own
    imported = overrides.find((workspace_id, *listed_name(provider, model)), at, is_imported=True)
    # No listed price begins within a minute, so one conversion serves all calls of it.
    return imported or _built_in(provider, model, at.replace(second=0, microsecond=0))


async def prefetch(workspace_id: uuid.UUID, provider: str, model: str) -> None:
    """Makes sure that `price` will neither wait for the database nor read the built-in list."""
    await overrides.prefetch((workspace_id, provider, model))
    if (provider, model) not in _listed:
        await asyncio.to_thread(_find_listed, provider, model)
    if (named := listed_name(provider, model)) != (provider, model):
        await overrides.prefetch((workspace_id, *named))


def listed_name(provider: str, model: str) -> tuple[str, str]:
    """Under which provider and model the built-in list has a model, which goes by several names."""
    found = _find_listed(provider, model)
    return (found[0], found[1].id) if found else (provider, model)


def built_in_version() -> str:
    """Name and version of the built-in list."""
    import genai_prices

    return f"genai-prices:{genai_prices.__version__}"


@contextmanager
def built_in_list() -> Iterator[list[Any]]:
    """The list's providers, as `genai-prices` has them; 20 MB, which are let go afterwards."""
    import genai_prices

    with _reading:
        try:
            yield importlib.import_module("genai_prices.data").providers
        finally:
            del sys.modules["genai_prices.data"]
            delattr(genai_prices, "data")


def convert(listed: Any, version: str) -> UnitPrices | None:
    """A `ModelPrice` of the list as prices per token; None where it has none for input or output."""
    if listed.input_mtok is None or listed.output_mtok is None:
        return None
    others = {
        kind: _rate(amount)
        for kind, name in LISTED_AS.items()
        if (amount := getattr(listed, name)) is not None
    }
    per_thousand = listed.requests_kcount
    request = (per_thousand / 1000).quantize(SMALLEST) if isinstance(per_thousand, Decimal) else Decimal(0)
    return UnitPrices(_rate(listed.input_mtok), _rate(listed.output_mtok), others, request, version)


def _find_listed(provider: str, model: str) -> tuple[str, Any] | None:
    """The list's id of the provider, and its `ModelInfo`, or None.

    The list is large and an entry next to nothing, so it is read, asked and let go.
    """
    from genai_prices.data_snapshot import DataSnapshot

    key = (provider, model)
    with suppress(KeyError):
        return _listed[key]
    with built_in_list() as providers:
        if key not in _listed:
            if len(_listed) >= MOST_LISTED:
                _listed.clear()
            try:
                found = DataSnapshot(providers, False).find_provider_model(model, None, provider, None)
                _listed[key] = (found[0].id, found[1])
            except LookupError:
                _listed[key] = None
        return _listed[key]


@lru_cache(maxsize=1024)
def _built_in(provider: str, model: str, at: datetime) -> UnitPrices | None:
    found = _find_listed(provider, model)
    return convert(found[1].get_prices(at), built_in_version()) if found else None


def _rate(per_million: Any) -> Rate:
    """A `Decimal`, or a `TieredPrices` with a base and tiers by the length of the input."""
    if isinstance(per_million, Decimal):
        return Rate(per_token(per_million))
    steps = tuple((tier.start, per_token(tier.price)) for tier in per_million.tiers)
    return Rate(per_token(per_million.base), steps)
