"""Which entries an export has: the filters of usage, told by name, over what somebody may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_filters.utils import translate_validation
from rest_framework.exceptions import ValidationError

from agentplatform.lib.errors import Invalid
from billing.api.filters import UsageFilter
from billing.usage import Records


def select(
    filters: Mapping[str, Any], records: Records, *, beside: frozenset[str] = frozenset(), prefix: str = ""
) -> UsageFilter:
    """The settled entries among `records` that the filters ask for. Names in `beside` are no filters.

    `prefix` stands before the names of what is wrong. Raises Invalid.
    """
    chosen = UsageFilter(filters, records)
    # A filter that is misspelt and ignored would make wrong sums look right.
    if unknown := filters.keys() - chosen.filters.keys() - beside:
        known = ", ".join(chosen.filters)
        said = f"There is no such filter; the filters are: {known}."
        raise Invalid({f"{prefix}{name}": said for name in sorted(unknown)})
    if not chosen.is_valid():
        raise _prefixed(translate_validation(chosen.errors), prefix)
    _require_period(chosen, prefix)
    return chosen


def _require_period(chosen: UsageFilter, prefix: str) -> None:
    try:
        _ = chosen.period
    except Invalid as error:
        raise Invalid({f"{prefix}{one['field']}": one["message"] for one in error.details}) from error


def _prefixed(error: ValidationError, prefix: str) -> ValidationError:
    if not prefix or not isinstance(error.detail, dict):
        return error
    return ValidationError({f"{prefix}{name}": detail for name, detail in error.detail.items()})
