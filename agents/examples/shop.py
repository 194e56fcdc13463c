"""Two tools of a fictional shop, for the support example: they know a few orders, and send no money anywhere."""

from __future__ import annotations

from typing import Any

from agents.tools.base import ToolFault
from agents.tools.functions import Schema, function

ORDERS: dict[str, dict[str, Any]] = {
    "A-1042": {"item": "Desk lamp", "paid": 49.0, "status": "delivered"},
    "A-1043": {"item": "Office chair", "paid": 189.5, "status": "delivered"},
    "A-1044": {"item": "Standing desk", "paid": 420.0, "status": "on its way"},
}
CURRENCY = "EUR"
ORDER: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 20,
    "description": "An order's number, for example A-1042.",
}


@function(
    "look_up_order",
    "Tells what was ordered, what was paid for it, and where it is. The shop and its orders are fictional.",
    idempotent=True,
    required=("order",),
    order=ORDER,
)
def look_up_order(order: str) -> dict[str, Any]:
    return {"order": order, **_order(order), "currency": CURRENCY}


@function(
    "refund_order",
    "Pays a customer's money back, all of it or a part. The shop is fictional: nothing is paid.",
    required=("order", "amount"),
    order=ORDER,
    amount={"type": "number", "exclusiveMinimum": 0, "description": f"In {CURRENCY}."},
)
def refund_order(order: str, amount: float) -> dict[str, Any]:
    paid = _order(order)["paid"]
    if amount > paid:
        raise ToolFault(
            f"{amount:g} {CURRENCY} is more than the {paid:g} {CURRENCY} that were paid for {order}."
        )
    return {"order": order, "refunded": amount, "left": round(paid - amount, 2), "currency": CURRENCY}


def _order(number: str) -> dict[str, Any]:
    if found := ORDERS.get(number):
        return found
    raise ToolFault(f"There is no order {number!r}. Known are: {', '.join(ORDERS)}.")
