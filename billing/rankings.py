"""The groups that come first, where a cut has so many that summing all of them takes long.

What a group used since ever bounds what it used in any period. So the groups that had most of all are summed in the
period, and where the last one that is asked for has more there than the first one that was left out ever had, no other
can come before it. The statement that sums them says whether that is so.

(The idea is that of the threshold algorithm: Fagin, Lotem and Naor, "Optimal aggregation algorithms for middleware".)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from billing.cuts import CUTS, Cut
from billing.grains import Cover, Span, cover
from billing.rollups import SUMS_OF_ENTRIES, group_id
from billing.selections import Gathering, Parameters, Selection, columns_of

SUMS = ", ".join(SUMS_OF_ENTRIES)
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


def candidates(selection: Selection, by: Sequence[str], ordering: str, end: int) -> Iterator[int]:
    """How many groups to look at for the first `end` of them, more and more; nothing where all must be looked at."""
    cut = selection.cut(by)
    ranked = cut and cut.is_ranked and not selection.conditions and len(by) == 1 and ordering.startswith("-")
    if ranked and cut and cover(selection.span, cut.grains).inner:
        count = end + end // 2 + 50
        while count <= MOST_CANDIDATES:
            yield count
            count *= 4


class Ranking:
    """Writes the SQL that finds the first of a selection's groups among so many candidates."""

    def __init__(
        self, selection: Selection, by: Sequence[str], field: str, currency: str, parameters: Parameters
    ) -> None:
        cut = selection.cut(by)
        assert cut
        self._cut: Cut = cut
        self._columns = columns_of(by)
        self._field, self._span = field, selection.span
        self._cover: Cover = cover(self._span, cut.grains)
        self._gather = Gathering(selection, self._columns, parameters)
        self._currency = parameters.add(currency)
        self._parameters = parameters

    def ranked(self, candidates: int, end: str, named: str, joins: str) -> Ranked:
        """`end` is the last place that is asked for; `named` and `joins` make the groups' keys of a row of `part`."""
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
                {gather.rolled_up_of(groups, [self._cover])}
                UNION ALL SELECT bucket, {gather.keys} {SUMS} FROM edge
                WHERE {key} IN (SELECT {key} FROM candidate)
            )"""  # noqa: S608
        return Ranked(steps, self._total(named, joins), self._is_right(candidates, end))

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

    def _is_right(self, candidates: int, end: str) -> str:
        """That there are no others, or that none of them has as much.

        What others have is the sum over the currencies, none of which has more than the last candidate in one.
        """
        last = f"(SELECT {self._field} FROM placed WHERE place = {end})"  # noqa: S608
        if self._field == "cost":
            times, other = "1", f"EXISTS (SELECT FROM currencies WHERE currency <> {self._currency})"
        else:
            times, other = "(SELECT count(*) FROM currencies)", "false"
        return f"""(
            (SELECT count(*) <= {candidates} AND NOT {other} FROM bounded)
            OR (SELECT {last} IS NOT NULL AND (bool_or(bound IS NULL) OR {last} > min(bound) * {times}) FROM bounded)
        )"""  # noqa: S608

    def _total(self, named: str, joins: str) -> str:
        """The count is exact: a group whose first or last piece lies in the period is there, and others are asked."""
        columns = ", ".join(f"kind.{name}" for name in self._columns)
        most = f"(SELECT {MOST_COUNTED} * count(*) FROM currencies)"  # noqa: S608
        return f"""CASE WHEN (SELECT count(*) FROM (
                SELECT FROM billing_usagelifetime lifetime WHERE {self._is_alive()} AND {self._is_inside()}
                LIMIT {most} + 1
            ) found) > {most} THEN NULL ELSE (SELECT count(*) FROM (SELECT DISTINCT {named} FROM (
                SELECT {columns} FROM billing_usagelifetime lifetime
                JOIN billing_usagegroup kind ON kind.id = lifetime.group_id
                WHERE {self._is_alive()} AND ({self._is_inside()} OR EXISTS (
                    SELECT FROM {self._gather.pieces([self._cover])} CROSS JOIN LATERAL (
                        SELECT FROM billing_usagerollup rollup WHERE rollup.group_id = lifetime.group_id
                        AND rollup.grain = span.grain AND rollup.start >= span.lower AND rollup.start < span.upper
                        LIMIT 1
                    ) found
                )) UNION ALL SELECT {", ".join(self._columns)} FROM edge
            ) part {joins}) known) END"""  # noqa: S608

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
