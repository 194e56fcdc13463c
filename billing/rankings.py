"""The groups that come first, found by as little as tells which they are, before all sums of these alone are made.

Mostly that is the sum they are ordered by. Where a cut has so many groups that one sum of each takes long, it is what
a group used since ever, which bounds what it used in any period: the groups that had most of all are summed in the
period, and where the last one that is asked for has more there than the first one that was left out ever had, no other
can come before it. The statement that sums them says whether that is so.

(The idea is that of the threshold algorithm: Fagin, Lotem and Naor, "Optimal aggregation algorithms for middleware".)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from billing.cuts import CUTS, Cut
from billing.grains import Cover, Span, cover
from billing.grouping import Query
from billing.rollups import SUMS_OF_ENTRIES, SUMS_OF_SUMS, group_id
from billing.selections import Gathering, Parameters, Selection

SUMS = ", ".join(SUMS_OF_ENTRIES)
# The groups that `first` names, for a FROM.
FIRST = """(
    SELECT kind.* FROM (SELECT unnest(groups) AS id FROM first) chosen
    JOIN billing_usagegroup kind ON kind.id = chosen.id OFFSET 0
)"""
MOST_COUNTED = 10_000
MOST_CANDIDATES = 4_000


@dataclass(frozen=True, slots=True)
class Ranked:
    """SQL: steps of a WITH, the last of which is `part`; how many groups there are (null: more than are counted);
    and whether the groups of `placed` up to a place are right.
    """

    steps: str
    total: str
    is_right: str


def candidates(selection: Selection, query: Query) -> Iterator[int]:
    """How many groups to look at for the first ones, more and more; nothing where all must be looked at."""
    cut = selection.cut(query.by)
    ranked = cut and cut.is_ranked and not selection.conditions and len(query.by) == 1 and query.is_descending
    if ranked and cut and cover(selection.span, cut.grains).inner:
        count = query.end + query.end // 2 + 50
        while count <= MOST_CANDIDATES:
            yield count
            count *= 4


def by_one_sum(selection: Selection, currency: str, query: Query, parameters: Parameters) -> Ranked | None:
    """The first groups, by the sum they are ordered by; None where no cut has it."""
    cut = selection.cut(query.by)
    found = cover(selection.span, cut.grains) if cut else None
    if not (cut and found and found.inner):
        return None
    gather = Gathering(selection, query.columns, parameters)
    made = SUMS_OF_SUMS[query.field]
    if query.field == "cost":
        made += f" FILTER (WHERE currency = {parameters.add(currency)})"
    steps = f"""
        edge AS MATERIALIZED (
            {gather.at_the_edges([found])} UNION ALL {gather.waiting([(0, found.inner)])}
        ),
        one_sum AS (
            {gather.one_sum(cut, found, query.field)}
            UNION ALL SELECT NULL, {gather.keys} {query.field} FROM edge
        ),
        first AS MATERIALIZED (
            SELECT {query.named}, array_agg(group_id) AS groups, count(*) OVER () AS total
            FROM one_sum part {query.joins} GROUP BY {query.key}
            ORDER BY {query.order(made)} LIMIT {parameters.add(query.end)}
        ),
        part AS (
            {gather.rolled_up_of(cut, FIRST, [found])}
            UNION ALL SELECT bucket, {gather.keys} {SUMS} FROM edge part {query.joins}
            WHERE jsonb_build_array({query.key_of_part}) IN (SELECT jsonb_build_array({query.key}) FROM first)
        )"""  # noqa: S608
    return Ranked(steps, "COALESCE((SELECT total FROM first LIMIT 1), 0)", "true")


class Ranking:
    """Writes the SQL that finds the first of a selection's groups among so many candidates."""

    def __init__(self, selection: Selection, currency: str, query: Query, parameters: Parameters) -> None:
        cut = selection.cut(query.by)
        assert cut
        self._cut: Cut = cut
        self._query, self._span = query, selection.span
        self._columns, self._field = query.columns, query.field
        self._cover: Cover = cover(self._span, cut.grains)
        self._gather = Gathering(selection, self._columns, parameters)
        self._currency = parameters.add(currency)
        self._parameters = parameters

    def ranked(self, candidates: int) -> Ranked:
        gather, columns = self._gather, ", ".join(self._columns)
        key = f"jsonb_build_array({columns})"
        chosen = group_id(self._cut, workspace=f"{gather.workspace}::uuid", currency="currencies.currency")
        groups = f"""(
            SELECT kind.* FROM (SELECT DISTINCT {chosen} AS id FROM candidate, currencies) chosen
            JOIN billing_usagegroup kind ON kind.id = chosen.id OFFSET 0
        )"""  # noqa: S608
        steps = f"""
            currencies AS MATERIALIZED (
                SELECT DISTINCT currency FROM billing_usagegroup
                WHERE workspace_id = {gather.workspace} AND cut = {CUTS[0].number} AND session_id IS NULL
            ),
            edge AS MATERIALIZED (
                {gather.at_the_edges([self._cover])} UNION ALL {gather.waiting([(0, self._inner)])}
            ),
            bounded AS MATERIALIZED ({self._bounded(candidates + 1)}),
            candidate AS MATERIALIZED (
                SELECT {columns} FROM bounded
                UNION SELECT {columns} FROM ({gather.waiting([(0, self._span)])}) waiting
            ),
            part AS (
                {gather.rolled_up_of(self._cut, groups, [self._cover])}
                UNION ALL SELECT bucket, {gather.keys} {SUMS} FROM edge
                WHERE {key} IN (SELECT {key} FROM candidate)
            )"""  # noqa: S608
        return Ranked(steps, self._total(), self._is_right(candidates))

    @property
    def _inner(self) -> Span:
        inner = self._cover.inner
        assert inner
        return inner

    def _bounded(self, count: int) -> str:
        """The groups that had most of what is asked for since ever, of those that can have some in the period."""
        own = f"AND kind.currency = {self._currency}" if self._field == "cost" else ""
        return f"""
            SELECT {", ".join(f"kind.{name}" for name in self._columns)}, lifetime.{self._field} AS bound
            FROM billing_usagelifetime lifetime JOIN billing_usagegroup kind ON kind.id = lifetime.group_id {own}
            WHERE {self._is_alive()} ORDER BY lifetime.{self._field} DESC NULLS LAST LIMIT {count}"""  # noqa: S608

    def _is_right(self, candidates: int) -> str:
        """That there are no others, or that none of them has as much.

        What others have is the sum over the currencies, none of which has more than the last candidate in one.
        """
        end = self._parameters.add(self._query.end)
        last = f"(SELECT {self._field} FROM placed WHERE place = {end})"  # noqa: S608
        if self._field == "cost":
            times, other = "1", f"EXISTS (SELECT FROM currencies WHERE currency <> {self._currency})"
        else:
            times, other = "(SELECT count(*) FROM currencies)", "false"
        return f"""(
            (SELECT count(*) <= {candidates} AND NOT {other} FROM bounded)
            OR (SELECT {last} IS NOT NULL AND (bool_or(bound IS NULL) OR {last} > min(bound) * {times}) FROM bounded)
        )"""  # noqa: S608

    def _total(self) -> str:
        """The count is exact: a group whose first or last piece lies in the period is there, and others are asked."""
        columns = ", ".join(f"kind.{name}" for name in self._columns)
        most = f"(SELECT {MOST_COUNTED} * count(*) FROM currencies)"  # noqa: S608
        return f"""CASE WHEN (SELECT count(*) FROM (
                SELECT FROM billing_usagelifetime lifetime WHERE {self._is_alive()} AND {self._is_inside()}
                LIMIT {most} + 1
            ) found) > {most} THEN NULL ELSE (SELECT count(*) FROM (SELECT DISTINCT {self._query.named} FROM (
                SELECT {columns} FROM billing_usagelifetime lifetime
                JOIN billing_usagegroup kind ON kind.id = lifetime.group_id
                WHERE {self._is_alive()} AND ({self._is_inside()} OR EXISTS (
                    SELECT FROM {self._gather.pieces([self._cover])} CROSS JOIN LATERAL (
                        SELECT FROM billing_usagerollup rollup WHERE rollup.group_id = lifetime.group_id
                        AND rollup.grain = span.grain AND rollup.start >= span.lower AND rollup.start < span.upper
                        LIMIT 1
                    ) found
                )) UNION ALL SELECT {", ".join(self._columns)} FROM edge
            ) part {self._query.joins}) known) END"""  # noqa: S608

    def _is_alive(self) -> str:
        """That the group was first used before the period's end, and last after its beginning."""
        first = self._parameters.add(self._span.lower - self._cut.grains[0].length)
        upper = self._parameters.add(self._span.upper)
        return (
            f"lifetime.workspace_id = {self._gather.workspace} AND lifetime.cut = {self._cut.number}"
            f" AND lifetime.last > {first} AND lifetime.first < {upper}"
        )

    def _is_inside(self) -> str:
        """That its first or its last piece is one of the period's."""
        lower, upper = self._parameters.add(self._inner.lower), self._parameters.add(self._inner.upper)
        sides = [f"lifetime.{side} >= {lower} AND lifetime.{side} < {upper}" for side in ("first", "last")]
        return f"({' OR '.join(sides)})"
