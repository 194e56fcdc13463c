"""For admin lists of tables that grow for ever: paging that never counts them whole."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property

# Enough to page through by hand. What lies beyond is reached by filters and search.
MOST_ROWS = 10_000


class CappedPaginator(Paginator):
    """Counts no further than MOST_ROWS, and says "more than" where that is what it knows."""

    template_name = "admin/capped_pagination.html"

    @cached_property
    def count(self) -> int:
        return min(self._counted, MOST_ROWS)

    @property
    def is_capped(self) -> bool:
        """Whether there are more rows than it counts."""
        return self._counted > MOST_ROWS

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        return rows.order_by().values("pk")[: MOST_ROWS + 1].count()
