"""For admin lists of tables that grow for ever: paging that never counts them whole."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property

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
