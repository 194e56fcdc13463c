"""The prices that a workspace sets itself: added from a moment on, and withdrawn only before that moment.

Entries of the ledger name the price that priced them, so one that has been in force is never changed:
a new price simply takes over.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.utils import timezone
from psycopg.errors import UniqueViolation

from accounts import audit
from agentplatform.lib.errors import Conflict, Invalid
from billing import overrides
from billing.models import Price

# Per million tokens; with `billing.tokens.MOST_TOKENS` it keeps every cost within the ledger's columns.
HIGHEST_PRICE = Decimal(1_000_000)
# A moment that was "now" when the client sent it.
CLOCK_TOLERANCE = timedelta(minutes=1)


def check_start(valid_from: datetime) -> None:
    """Raises Invalid for a moment that has passed: what is recorded already keeps its price."""
    if valid_from < timezone.now() - CLOCK_TOLERANCE:
        raise Invalid(
            {"valid_from": "Choose a moment from now on: what is recorded already keeps its price."}
        )


def add(price: Price) -> Price:
    """Saves a new price. Raises Conflict where the model has one from the same moment."""
    try:
        with transaction.atomic():
            price.save(force_insert=True)
            audit.created(price, _named(price))
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        raise Conflict(f"{price.provider}/{price.model} has a price from that moment on already.") from error
    _announce(price)
    return price


def withdraw(price: Price) -> None:
    """Deletes a price that is not in force yet. Raises Conflict for any other."""
    if not is_future(price):
        raise Conflict(
            "This price has been in force, so it stays. Add one that takes over from its moment on."
        )
    with transaction.atomic():
        audit.deleted(price, _named(price))
        price.delete()
    _announce(price)


def is_future(price: Price) -> bool:
    return price.valid_from > timezone.now()


def _named(price: Price) -> audit.Thing:
    return audit.thing(price, f"{price.provider}/{price.model}")


def _announce(price: Price) -> None:
    workspace_id = price.workspace_id
    transaction.on_commit(lambda: overrides.forget(workspace_id))
