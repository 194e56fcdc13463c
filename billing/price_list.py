"""The prices of workspaces: added from a moment on, corrected by a newer version, withdrawn before that moment.

Entries of the ledger name the price that priced them, so one that has been in force is never changed or deleted: a
newer version from the same moment takes its place. What is recorded already keeps its price until somebody reprices the
period; see `billing.repricing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from psycopg.errors import UniqueViolation

from accounts import audit
from agentplatform.lib.decimals import plain
from agentplatform.lib.errors import Conflict, Invalid
from billing import overrides
from billing.models import Price
from billing.rates import COSTS_LIKE
from billing.tokens import MOST_TOKENS

# Per million tokens; with `billing.tokens.MOST_TOKENS` it keeps every cost within the ledger's columns.
HIGHEST_PRICE = Decimal(1_000_000)
PLACES = 6
MOST_TIERS = 10
FIGURES = tuple(f"{kind}_per_million" for kind in ("input", "output", *COSTS_LIKE))


def check(values: Mapping[str, Any]) -> None:
    """Raises Invalid for a validity that ends before it begins, and for tiers that do not make sense."""
    valid_from, valid_until = values.get("valid_from"), values.get("valid_until")
    if valid_from and valid_until and valid_until < valid_from:
        raise Invalid({"valid_until": "Choose a moment after valid_from, or the same one: never valid."})
    _check_tiers(values.get("tiers") or [], values)


def add(price: Price) -> Price:
    """Saves a new price, as the next version where there is one from the same moment already."""
    same = Price.objects.filter(
        workspace_id=price.workspace_id,
        provider=price.provider,
        model=price.model,
        valid_from=price.valid_from,
        is_imported=price.is_imported,
    )
    last = same.order_by("-version").values_list("version", flat=True).first()
    price.version = (last or 0) + 1
    try:
        with transaction.atomic():
            price.save(force_insert=True)
            audit.created(price, _named(price))
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        raise Conflict(
            f"Somebody else has just set a price of {price.provider}/{price.model} from that moment on. Read it, "
            "and send yours again if it is still wanted."
        ) from error
    announce(price.workspace_id)
    return price


def withdraw(price: Price) -> None:
    """Deletes a price that is not in force yet. Raises Conflict for any other."""
    if not is_future(price):
        raise Conflict(
            "This price has been in force, so it stays. Add one that takes over from its moment on, or a newer "
            "version from the same moment."
        )
    with transaction.atomic():
        audit.deleted(price, _named(price))
        price.delete()
    announce(price.workspace_id)


def is_future(price: Price) -> bool:
    return price.valid_from > timezone.now()


def _named(price: Price) -> audit.Thing:
    return audit.thing(price, f"{price.provider}/{price.model}")


def is_in_force(price: Any) -> bool:
    """Of one that came `with_superseded`: whether it is valid now, unless one that began later goes before it."""
    now = timezone.now()
    has_ended = price.valid_until is not None and price.valid_until <= now
    return not (price.is_superseded or has_ended or price.valid_from > now)


def announce(workspace_id: Any) -> None:
    transaction.on_commit(lambda: overrides.forget(workspace_id))


def _check_tiers(tiers: Any, values: Mapping[str, Any]) -> None:
    if not isinstance(tiers, list) or len(tiers) > MOST_TIERS:
        raise Invalid({"tiers": f"Send a list of at most {MOST_TIERS} tiers."})
    before = 0
    for number, tier in enumerate(tiers):
        place = f"tiers.{number}"
        if not isinstance(tier, dict):
            raise Invalid({place: 'Send an object like {"above": 200000, "input_per_million": "4"}.'})
        above = tier.get("above")
        if not isinstance(above, int) or isinstance(above, bool) or not before < above <= MOST_TOKENS:
            raise Invalid({f"{place}.above": f"Send a count of tokens above {before}, in ascending order."})
        before = above
        _check_figures(tier, place, values)


def _check_figures(tier: dict[str, Any], place: str, values: Mapping[str, Any]) -> None:
    if unknown := tier.keys() - {"above", *FIGURES}:
        known = ", ".join(("above", *FIGURES))
        raise Invalid(
            {f"{place}.{min(unknown, key=str)}": f"There is no such field; the fields are: {known}."}
        )
    for name in tier.keys() - {"above"}:
        if values.get(name) is None:
            raise Invalid({f"{place}.{name}": f"Set {name} of the price itself, too."})
        tier[name] = _figure(tier[name], f"{place}.{name}")


def _figure(value: Any, place: str) -> str:
    try:
        amount = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        amount = None
    is_good = amount is not None and amount.is_finite() and 0 <= amount <= HIGHEST_PRICE
    if not is_good or amount is None or amount != round(amount, PLACES):
        raise Invalid({place: f"Send a decimal text from 0 to {HIGHEST_PRICE} with at most {PLACES} places."})
    return plain(amount)


def same_figures(one: Price, other: Price) -> bool:
    """Whether two prices say the same of the same time."""
    names: Sequence[str] = (*FIGURES, "per_request", "tiers", "valid_until")
    return all(getattr(one, name) == getattr(other, name) for name in names)
