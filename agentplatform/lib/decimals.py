"""Decimals as text."""

from __future__ import annotations

from decimal import Decimal


def plain(amount: Decimal) -> str:
    """Without trailing zeros and never with an exponent: `0.000150000000` is `0.00015`."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
