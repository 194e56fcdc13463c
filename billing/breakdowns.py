"""Usage by one or two dimensions: the groups of a page, and the whole beside them, in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from billing import rankings
from billing.cuts import DIMENSIONS
from billing.grains import Bucket
from billing.grouping import NAMES, Query
from billing.rankings import Ranked, Ranking
from billing.rollups import SUMS_OF_ENTRIES, SUMS_OF_SUMS
from billing.selections import Condition, Parameters, Selection, gathering, rows
from billing.totals import Totals

SUMS = ", ".join(SUMS_OF_ENTRIES)
MADE = ", ".join(f"{made} AS {name}" for name, made in SUMS_OF_SUMS.items())


@dataclass(frozen=True, slots=True)
class Breakdown:
    query: Query
    groups: list[Totals]
    total: int | None
    """How many groups there are; None: more than `rankings.MOST_COUNTED`."""
    whole: list[Totals]
    """The sums of all calls, by currency."""

    def in_buckets(self, selection: Selection, buckets: Sequence[Bucket]) -> list[Totals]:
        """Sums by bucket and currency, of all (`is_whole`), and of each of these groups."""
        parameters, query = Parameters(), self.query
        sql = f"""
            WITH part AS ({gathering(selection.narrowed(self._condition()), query.by, buckets, parameters)}),
            whole AS ({gathering(selection, (), buckets, parameters)})
            SELECT false AS is_whole, bucket, {query.named}, currency, {MADE} FROM part {query.joins}
            GROUP BY bucket, {query.key}, currency
            UNION ALL SELECT true, bucket, {query.no_key} currency, {SUMS} FROM whole"""  # noqa: S608
        return rows(sql, parameters)

    def _condition(self) -> Condition:
        """That a call is of one of these groups. Of people and keys it asks for the id alone."""
        [dimension] = self.query.by
        columns = [name for name in DIMENSIONS[dimension] if name not in NAMES]
        values: list[Any] = []
        alternatives: list[str] = []
        for group in self.groups:
            parts = [
                f"{{row}}.{name} IS NULL" if group[name] is None else f"{{row}}.{name} = {{}}"
                for name in columns
            ]
            values += [group[name] for name in columns if group[name] is not None]
            alternatives.append(f"({' AND '.join(parts)})")
        return Condition(dimension, f"({' OR '.join(alternatives) or 'false'})", values)


def grouped(selection: Selection, currency: str, query: Query) -> Breakdown:
    for candidates in rankings.candidates(selection, query):
        if found := _first(selection, currency, query, candidates):
            return found
    parameters = Parameters()
    source = rankings.by_one_sum(selection, currency, query, parameters) or _all(selection, query, parameters)
    found, _ = _read(selection, currency, query, parameters, source)
    return found


def _all(selection: Selection, query: Query, parameters: Parameters) -> Ranked:
    """All sums of all groups."""
    whole = [Bucket(selection.span.lower, selection.span)]
    part = f"part AS ({gathering(selection, query.by, whole, parameters)})"
    return Ranked(part, "(SELECT count(*) FROM known)", "true")


def _first(selection: Selection, currency: str, query: Query, candidates: int) -> Breakdown | None:
    """The same, of this many candidates; None where others may come before some of them."""
    parameters = Parameters()
    ranked = Ranking(selection, currency, query, parameters).ranked(candidates)
    found, is_right = _read(selection, currency, query, parameters, ranked)
    return found if is_right else None


def _read(
    selection: Selection, currency: str, query: Query, parameters: Parameters, source: Ranked
) -> tuple[Breakdown, bool]:
    """The page of what `source` has, and whether it is right."""
    whole = [Bucket(selection.span.lower, selection.span)]
    made = SUMS_OF_SUMS | {"cost": f"sum(cost) FILTER (WHERE currency = {parameters.add(currency)})"}
    offset, end = parameters.add(query.offset), parameters.add(query.end)
    sql = f"""
        WITH {source.steps},
        whole AS ({gathering(selection, (), whole, parameters)}),
        known AS MATERIALIZED (
            SELECT {query.named}, {", ".join(f"{sum_} AS {name}" for name, sum_ in made.items())}
            FROM part {query.joins} GROUP BY {query.key}
        ),
        placed AS MATERIALIZED (SELECT *, row_number() OVER (ORDER BY {query.order(query.field)}) AS place FROM known)
        SELECT false AS is_whole, 0 AS total, true AS is_right, place, {query.key}, '' AS currency, {SUMS} FROM placed
        WHERE place > {offset} AND place <= {end}
        UNION ALL
        SELECT true, {source.total}, {source.is_right}, NULL, {query.no_key} currency, {MADE} FROM whole
        GROUP BY currency
        ORDER BY place"""  # noqa: S608
    found = rows(sql, parameters)
    sums = [row for row in found if row["is_whole"]]
    wanted = [*query.keys, *SUMS_OF_ENTRIES]
    groups = [{name: row[name] for name in wanted} for row in found if not row["is_whole"]]
    total = sums[0]["total"] if sums else 0
    return Breakdown(query, groups, total, sums), all(row["is_right"] for row in sums)
