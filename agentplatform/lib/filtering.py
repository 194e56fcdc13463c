"""What narrows and orders lists, strict where the libraries ignore what they do not understand.

A filter that is misspelt and ignored would make a wrong list look right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django_filters import rest_framework as filters
from django_filters.fields import IsoDateTimeField
from django_filters.utils import translate_validation
from rest_framework import exceptions
from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.request import Request

from agentplatform.lib.errors import Invalid

PAGING = frozenset({"limit", "offset", "cursor"})


class TrueOrFalse(forms.Field):
    """`true` or `false`, also as 1 or 0. Empty is neither and narrows nothing."""

    words = {"true": True, "1": True, "false": False, "0": False}

    def to_python(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        if (known := self.words.get(str(value).lower())) is None:
            raise ValidationError("Use true or false.")
        return known


class BooleanFilter(filters.BooleanFilter):
    field_class = TrueOrFalse

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, widget=forms.TextInput, **options)


class MomentField(IsoDateTimeField):
    """A moment as UTC, whatever its offset: PostgreSQL takes none of 16 hours or more."""

    def to_python(self, value: Any) -> datetime | None:
        moment: datetime | None = super().to_python(value)
        try:
            return moment and moment.astimezone(UTC)
        except OverflowError as error:
            raise ValidationError("Use a moment of the years 1 to 9999.") from error


class MomentFilter(filters.IsoDateTimeFilter):
    field_class = MomentField


class FilterBackend(filters.DjangoFilterBackend):
    """Narrows a list by its filter set. Raises Invalid for a parameter that the list does not have."""

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        filterset = self.get_filterset_class(view, queryset)
        known = list(filterset.base_filters) if filterset else []
        refuse_unknown(request.query_params, [*known, *_beside(view)])
        return super().filter_queryset(request, queryset, view)


class OrderingBackend(OrderingFilter):
    """Orders a list. Raises Invalid for a field that it cannot be ordered by."""

    def remove_invalid_fields(self, queryset: Any, fields: Any, view: Any, request: Request) -> list[str]:
        valid: list[str] = super().remove_invalid_fields(queryset, fields, view, request)
        if valid != list(fields):
            names = ", ".join(name for name, _ in self.get_valid_fields(queryset, view, {"request": request}))
            raise Invalid(
                {"ordering": f"Order by one of: {names}. A hyphen before it turns the order round."}
            )
        return valid


def check(chosen: filters.FilterSet, *, beside: Set[str] = PAGING, prefix: str = "") -> None:
    """Whether a filter set can be used. Parameters in `beside` are no filters; `prefix` stands before the names of what
    is wrong. Raises Invalid for what it does not have, ValidationError for values.
    """
    refuse_unknown(chosen.data, list(chosen.filters), beside=beside, prefix=prefix)
    if not chosen.is_valid():
        said = translate_validation(chosen.errors).detail
        raise exceptions.ValidationError({f"{prefix}{name}": details for name, details in said.items()})


def refuse_unknown(
    given: Iterable[str], known: Sequence[str], *, beside: Set[str] = PAGING, prefix: str = ""
) -> None:
    """Raises Invalid that names the parameters which are neither known nor in `beside`, each with the prefix."""
    unknown = sorted(set(given) - set(known) - beside)
    message = f"There is no such filter; the filters are: {', '.join(known)}."
    if unknown:
        raise Invalid({f"{prefix}{name}": message for name in unknown})


def _beside(view: Any) -> list[str]:
    """The parameters of the other backends, as far as the view has any use for them."""
    return [
        parameter
        for parameter, attribute in (
            (SearchFilter.search_param, "search_fields"),
            (OrderingFilter.ordering_param, "ordering_fields"),
        )
        if getattr(view, attribute, None)
    ]
