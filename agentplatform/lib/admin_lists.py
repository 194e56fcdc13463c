"""For admin lists of tables that grow for ever: paging that never counts them whole, and what was made since."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from agentplatform.lib.ids import first_uuid7_at

# Enough to page through by hand. What lies beyond is reached by filters and search.
MOST_ROWS = 10_000


class CappedPaginator(Paginator):
    """Counts no further than `most_rows`, and says "more than" where that is what it knows."""

    # MOST_ROWS, or fewer where finding each takes long.
    most_rows: int | None = None
    template_name = "admin/capped_pagination.html"

    @cached_property
    def count(self) -> int:
        return min(self._counted, self._most)

    @property
    def is_capped(self) -> bool:
        """Whether there are more rows than it counts."""
        return self._counted > self._most

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        return rows.order_by().values("pk")[: self._most + 1].count()

    @property
    def _most(self) -> int:
        return MOST_ROWS if self.most_rows is None else self.most_rows


class SinceFilter(SimpleListFilter):
    """What was made within the last hour, day, week or month, by ids that grow with time."""

    title = _("created")
    parameter_name = "since"
    choices_by_name = {
        "hour": (_("Past hour"), timedelta(hours=1)),
        "day": (_("Past 24 hours"), timedelta(days=1)),
        "week": (_("Past 7 days"), timedelta(days=7)),
        "month": (_("Past 30 days"), timedelta(days=30)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [(name, label) for name, (label, _period) in self.choices_by_name.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if chosen := self.choices_by_name.get(self.value() or ""):
            return queryset.filter(pk__gte=first_uuid7_at(timezone.now() - chosen[1]))
        return queryset
