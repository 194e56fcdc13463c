"""Prices from the installed `genai-prices` as rows of a workspace: what the list says stays, whatever a later one says.

Where nothing is imported the built-in list serves by itself, in the version that is installed. An import keeps one with
its history, and may be repeated: only what has changed is added. A price that the list dates begins on that day; one
without a date that differs from what was imported before begins now, because the list does not say since when.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Workspace
from agentplatform.lib.decimals import plain
from agentplatform.lib.errors import Conflict
from billing import price_list, pricing
from billing.models import Price
from billing.rates import TOKENS_PER_PRICE, Rate, UnitPrices

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Listed:
    """What the list says of a model: its prices by the day they begin. `is_dated` where there are several."""

    provider: str
    model: str
    by_start: dict[datetime, UnitPrices]

    @property
    def is_dated(self) -> bool:
        return len(self.by_start) > 1


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has added, and which models it has passed over because they cost more at some time of the day."""

    added: list[Price]
    passed_over: list[Name]


def listed(provider: str = "", model: str = "") -> tuple[list[Listed], list[Name]]:
    """The list's models with prices of input and output; and those whose prices cannot be kept as rows."""
    found: list[Listed] = []
    passed_over: list[Name] = []
    with pricing.built_in_list() as providers:
        for one in providers:
            if provider and one.id != provider:
                continue
            for info in one.models:
                if model and info.id != model:
                    continue
                by_start = _by_start(info)
                if by_start is None:
                    passed_over.append((one.id, info.id))
                elif by_start:
                    found.append(Listed(one.id, info.id, by_start))
    return found, passed_over


def import_into(workspace: Workspace, models: list[Listed], *, is_dry_run: bool = False) -> list[Price]:
    """Adds what is new or has changed; answers it. Raises Conflict where the workspace has another currency."""
    if workspace.currency != pricing.BUILT_IN_CURRENCY:
        raise Conflict(f"The list is in {pricing.BUILT_IN_CURRENCY}, the workspace in {workspace.currency}.")
    with transaction.atomic():
        # One import at a time, and none while somebody changes the currency.
        Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
        known = _imported(workspace)
        now = timezone.now()
        new = [price for one in models for price in _changes(workspace, one, known, now)]
        if not is_dry_run:
            Price.objects.bulk_create(new, batch_size=500)
            price_list.announce(workspace.pk)
    return new


Known = dict[Name, dict[datetime, Price]]


def _imported(workspace: Workspace) -> Known:
    """The newest version of each imported price, by model and moment."""
    known: Known = {}
    for row in Price.objects.filter(workspace=workspace, is_imported=True).order_by("version"):
        known.setdefault((row.provider, row.model), {})[row.valid_from] = row
    return known


def _changes(workspace: Workspace, one: Listed, known: Known, now: datetime) -> Iterator[Price]:
    before = known.get((one.provider, one.model), {})
    if not one.is_dated:
        [(start, prices)] = one.by_start.items()
        last = before.get(max(before)) if before else None
        wanted = _row(workspace, one, prices, now if before else start)
        if last is None or not price_list.same_figures(last, wanted):
            yield wanted
        return
    for start, prices in one.by_start.items():
        yield from _newer(_row(workspace, one, prices, start), before.get(start))
    # What was imported from another moment, before the list knew its dates, is over.
    for start in before.keys() - one.by_start.keys():
        over = _row(workspace, one, next(iter(one.by_start.values())), start)
        for name in (*price_list.FIGURES, "per_request", "tiers"):
            setattr(over, name, getattr(before[start], name))
        over.valid_until = start
        yield from _newer(over, before[start])


def _newer(wanted: Price, before: Price | None) -> Iterator[Price]:
    if before is None:
        yield wanted
    elif not price_list.same_figures(before, wanted):
        wanted.version = before.version + 1
        yield wanted


def _by_start(info: Any) -> dict[datetime, UnitPrices] | None:
    """None: a price of it depends on the time of the day."""
    conditional = info.prices if isinstance(info.prices, list) else None
    pairs = (
        [(None, info.prices)]
        if conditional is None
        else [(one.constraint, one.prices) for one in conditional]
    )
    by_start: dict[datetime, UnitPrices] = {}
    for constraint, amounts in pairs:
        if constraint is not None and not hasattr(constraint, "start_date"):
            return None
        start = BEGINNING if constraint is None else datetime.combine(constraint.start_date, time(), UTC)
        if prices := pricing.convert(amounts, pricing.built_in_version()):
            by_start[start] = prices
    return by_start


def _row(workspace: Workspace, one: Listed, prices: UnitPrices, valid_from: datetime) -> Price:
    rates = {"input": prices.input, "output": prices.output, **prices.others}
    figures = {f"{kind}_per_million": _per_million(rate.base) for kind, rate in rates.items()}
    return Price(
        workspace=workspace,
        provider=one.provider,
        model=one.model,
        valid_from=valid_from,
        is_imported=True,
        source=prices.version,
        per_request=prices.request or None,
        tiers=_tiers(rates),
        **figures,
    )


def _tiers(rates: dict[str, Rate]) -> list[dict[str, Any]]:
    by_start: dict[int, dict[str, Any]] = {}
    for kind, rate in rates.items():
        for above, amount in rate.steps:
            tier = by_start.setdefault(above, {"above": above})
            tier[f"{kind}_per_million"] = plain(_per_million(amount))
    return [by_start[above] for above in sorted(by_start)]


def _per_million(amount: Decimal) -> Decimal:
    return amount * TOKENS_PER_PRICE
