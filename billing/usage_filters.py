"""What narrows usage, by the same names wherever it is summed up or exported; `billing.conditions` says it for sums."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.functional import cached_property
from django_filters import rest_framework as filters

from agentplatform.lib.errors import Invalid
from agentplatform.lib.filtering import MomentFilter, check
from agentplatform.lib.ids import as_uuid
from billing.models import Outcome
from billing.usage import Period, Records

ENDED = [(value, label) for value, label in Outcome.choices if value != Outcome.PENDING]


class CallFilter(filters.FilterSet):
    """Narrows ledger entries by whose calls they are. Names are those at the time of the call."""

    agent = filters.CharFilter(method="by_id_or_name", label="Id or name of the agent.")
    workflow = filters.CharFilter(method="by_id_or_name", label="Id or name of the workflow.")
    user = filters.CharFilter(method="by_id_or_name", label="Id or name of the user.")
    api_key = filters.CharFilter(method="by_id_or_name", label="Id or name of the API key.")
    end_user = filters.CharFilter(
        field_name="end_user_name__name", label="The client's own end user, as the run named it."
    )
    provider = filters.CharFilter(label="Kind of the model's provider, such as openai.")
    model = filters.CharFilter(label="The provider's id of the model.")
    tag = filters.CharFilter(method="by_tag", label="A tag of the run.")
    run_id = filters.UUIDFilter(label="Id of the run.")
    session_id = filters.UUIDFilter(label="Id of the session.")

    def by_id_or_name(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        # Names of agents and workflows stand in the entry, people's and keys' beside it.
        condition = Q(**{name if name in ("agent", "workflow") else f"{name}_name__name": value})
        if key := as_uuid(value):
            condition |= Q(**{f"{name}_id": key})
        return queryset.filter(condition)

    def by_tag(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(tags__contains=[value])


class UsageFilter(CallFilter):
    """Also by status and time. The period is always bounded; see `Period.of`."""

    status = filters.ChoiceFilter(choices=ENDED)
    start = MomentFilter(
        method="as_period",
        label="From this moment (ISO 8601; UTC without an offset). Default: 30 days before the end.",
    )
    end = MomentFilter(method="as_period", label="Before this moment. Default: now.")

    @cached_property
    def period(self) -> Period:
        """Of a valid filter. Raises Invalid where the start is not before the end."""
        return Period.of(self.form.cleaned_data["start"], self.form.cleaned_data["end"])

    @property
    def is_of_one_run(self) -> bool:
        return self.form.cleaned_data["run_id"] is not None

    def filter_queryset(self, queryset: Records) -> Records:
        within = queryset.filter(timestamp__gte=self.period.start, timestamp__lt=self.period.end)
        return super().filter_queryset(within)

    def as_period(self, queryset: Records, name: str, value: datetime) -> Records:
        """Both ends are applied together, in `filter_queryset`."""
        return queryset


def select(
    given: Mapping[str, Any], records: Records, *, beside: frozenset[str] = frozenset(), prefix: str = ""
) -> UsageFilter:
    """The settled entries among `records` that the filters ask for. Names in `beside` are no filters.

    `prefix` stands before the names of what is wrong. Raises Invalid, ValidationError.
    """
    chosen = UsageFilter(given, records)
    check(chosen, beside=beside, prefix=prefix)
    _require_period(chosen, prefix)
    return chosen


def _require_period(chosen: UsageFilter, prefix: str) -> None:
    try:
        _ = chosen.period
    except Invalid as error:
        raise Invalid({f"{prefix}{one['field']}": one["message"] for one in error.details}) from error
