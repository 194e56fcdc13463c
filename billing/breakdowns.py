"""Usage by one or two dimensions: the groups of a page, and the whole beside them, in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from billing import rankings
from billing.cuts import DIMENSIONS
from billing.grains import Bucket
from billing.rankings import Ranked, Ranking
from billing.rollups import SUMS_OF_ENTRIES, SUMS_OF_SUMS
from billing.selections import Condition, Parameters, Selection, columns_of, gathering, rows
from billing.totals import Totals

# Names of people and keys can be erased, so groups refer to them.
NAMES = {"user_name_id": "user", "api_key_name_id": "api_key"}
SUMS = ", ".join(SUMS_OF_ENTRIES)
MADE = ", ".join(f"{made} AS {name}" for name, made in SUMS_OF_SUMS.items())


@dataclass(frozen=True, slots=True)
class Query:
    """By which dimensions, which groups first (a sum's name, with a minus for the highest), and which page of them."""

    by: Sequence[str]
    ordering: str = "-requests"
    limit: int = 100
    offset: int = 0

    @property
    def field(self) -> str:
        return self.ordering.lstrip("-")


@dataclass(frozen=True, slots=True)
class Breakdown:
    query: Query
    groups: list[Totals]
    total: int | None
    """How many groups there are; None: more than `rankings.MOST_COUNTED`."""
    whole: list[Totals]
    """The sums of all calls, by currency."""

    @property
    def keys(self) -> list[str]:
        return _keys(self.query.by)

    def in_buckets(self, selection: Selection, buckets: Sequence[Bucket]) -> list[Totals]:
        """Sums by bucket and currency, of all (`is_whole`), and of each of these groups."""
        parameters = Parameters()
        by, chosen = self.query.by, selection.narrowed(self._condition())
        names = ", ".join(_quoted(self.keys))
        nulls = "".join(f"NULL AS {name}, " for name in _quoted(self.keys))
        sql = f"""
            WITH part AS ({gathering(chosen, by, buckets, parameters)}),
            whole AS ({gathering(selection, (), buckets, parameters)})
            SELECT false AS is_whole, bucket, {_named(by)}, currency, {MADE} FROM part {_joins(by)}
            GROUP BY bucket, {names}, currency
            UNION ALL SELECT true, bucket, {nulls} currency, {SUMS} FROM whole"""  # noqa: S608
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
    end = query.offset + query.limit
    for candidates in rankings.candidates(selection, query.by, query.ordering, end):
        if found := _first(selection, currency, query, candidates):
            return found
    parameters = Parameters()
    whole = [Bucket(selection.span.lower, selection.span)]
    part = f"part AS ({gathering(selection, query.by, whole, parameters)})"
    found, _ = _read(
        selection, currency, query, parameters, Ranked(part, "(SELECT count(*) FROM known)", "true")
    )
    return found


def _first(selection: Selection, currency: str, query: Query, candidates: int) -> Breakdown | None:
    """The same, of this many candidates; None where others may come before some of them."""
    parameters = Parameters()
    ranking = Ranking(selection, query.by, query.field, currency, parameters)
    end = parameters.add(query.offset + query.limit)
    ranked = ranking.ranked(candidates, end, _named(query.by), _joins(query.by))
    found, is_right = _read(selection, currency, query, parameters, ranked)
    return found if is_right else None


def _read(
    selection: Selection, currency: str, query: Query, parameters: Parameters, source: Ranked
) -> tuple[Breakdown, bool]:
    """The page of what `source` has, and whether it is right."""
    whole = [Bucket(selection.span.lower, selection.span)]
    names = ", ".join(_quoted(_keys(query.by)))
    nulls = "".join(f"NULL AS {name}, " for name in _quoted(_keys(query.by)))
    made = SUMS_OF_SUMS | {"cost": f"sum(cost) FILTER (WHERE currency = {parameters.add(currency)})"}
    direction = "DESC" if query.ordering.startswith("-") else "ASC"
    offset, end = parameters.add(query.offset), parameters.add(query.offset + query.limit)
    sql = f"""
        WITH {source.steps},
        whole AS ({gathering(selection, (), whole, parameters)}),
        known AS MATERIALIZED (
            SELECT {_named(query.by)}, {", ".join(f"{sum_} AS {name}" for name, sum_ in made.items())}
            FROM part {_joins(query.by)} GROUP BY {names}
        ),
        placed AS MATERIALIZED (
            SELECT *, row_number() OVER (ORDER BY {query.field} {direction} NULLS LAST, {names}) AS place FROM known
        )
        SELECT false AS is_whole, 0 AS total, true AS is_right, place, {names}, '' AS currency, {SUMS} FROM placed
        WHERE place > {offset} AND place <= {end}
        UNION ALL
        SELECT true, {source.total}, {source.is_right}, NULL, {nulls} currency, {MADE} FROM whole GROUP BY currency
        ORDER BY place"""  # noqa: S608
    found = rows(sql, parameters)
    sums = [row for row in found if row["is_whole"]]
    wanted = [*_keys(query.by), *SUMS_OF_ENTRIES]
    groups = [{name: row[name] for name in wanted} for row in found if not row["is_whole"]]
    total = sums[0]["total"] if sums else 0
    return Breakdown(query, groups, total, sums), all(row["is_right"] for row in sums)


def _keys(by: Sequence[str]) -> list[str]:
    return [NAMES.get(name, name) for name in columns_of(by)]


def _named(by: Sequence[str]) -> str:
    """The keys of groups, made of a part's columns."""
    return ", ".join(
        f"COALESCE({name}_of.name, '') AS {_quote(NAMES[name])}" if name in NAMES else f"part.{name}"
        for name in columns_of(by)
    )


def _joins(by: Sequence[str]) -> str:
    return " ".join(
        f"LEFT JOIN (SELECT id, name FROM billing_ledgername) {name}_of ON {name}_of.id = part.{name}"  # noqa: S608
        for name in columns_of(by)
        if name in NAMES
    )


def _quoted(names: Sequence[str]) -> list[str]:
    return [_quote(name) for name in names]


def _quote(name: str) -> str:
    """`user` is a word of SQL."""
    return f'"{name}"'
