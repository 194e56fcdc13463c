"""What of a workspace's usage is asked for, and the statements that gather it from roll-ups, outbox and ledger.

One statement reads all three in one snapshot: the roll-ups for whole pieces of time, the outbox for what is not in them
yet, and the entries themselves for the ends of the period, or for all of it where no cut knows the dimensions.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import connection

from billing.cuts import DIMENSIONS, Cut, cut_for
from billing.grains import Bucket, Cover, Span, cover
from billing.rollups import SUMS_OF_ENTRIES, SUMS_OF_SUMS, TAGS
from billing.totals import COUNTS

SUMS = ", ".join(SUMS_OF_ENTRIES)
# Few groups are looked up one by one, and many by time. Of the cut by almost all, only these leave few.
NARROWING = frozenset({"agent", "user", "api_key", "workflow", "tag"})
FEW_DIMENSIONS = 3
# These have an index of their own in the ledger.
OF_ENTRIES = frozenset({"run", "session", "end_user"})


class Parameters:
    """The values of a statement: `add` puts one aside and gives the placeholder that stands for it."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def add(self, value: Any) -> str:
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"%({name})s"

    def add_array(self, values: Iterable[object]) -> str:
        """Of numbers and moments, as the text of an array: thousands of them, one by one, take the driver longer
        than the statement takes.
        """
        return self.add("{" + ",".join(f'"{value}"' for value in values) + "}")


@dataclass(frozen=True, slots=True)
class Condition:
    """Narrows to a dimension's values. `sql` has `{row}` for the row's alias and `{}` for each of `values`."""

    dimension: str
    sql: str
    values: Sequence[Any]

    def of(self, row: str, parameters: Parameters) -> str:
        return self.sql.format(*map(parameters.add, self.values), row=row)


@dataclass(frozen=True, slots=True)
class Selection:
    """Settled calls of a workspace in a span of time."""

    workspace_id: uuid.UUID
    span: Span
    conditions: Sequence[Condition] = field(default=())

    def narrowed(self, *conditions: Condition) -> Selection:
        return replace(self, conditions=[*self.conditions, *conditions])

    @property
    def dimensions(self) -> set[str]:
        return {condition.dimension for condition in self.conditions}

    def cut(self, by: Sequence[str]) -> Cut | None:
        """What answers it by these dimensions; None: the entries themselves."""
        return None if self.dimensions & OF_ENTRIES else cut_for({*self.dimensions, *by})


def columns_of(by: Sequence[str]) -> list[str]:
    """The columns of some dimensions, each once."""
    return list(dict.fromkeys(column for name in by for column in DIMENSIONS[name]))


def gathering(
    selection: Selection, by: Sequence[str], buckets: Sequence[Bucket], parameters: Parameters
) -> str:
    """SELECT of `bucket` (its number), the columns of `by`, `currency` and the sums, in parts that are to be added."""
    cut = selection.cut(by)
    covers = [
        cover(bucket.span, cut.grains) if cut else Cover((), (bucket.span,), None) for bucket in buckets
    ]
    gather = Gathering(selection, columns_of(by), parameters)
    parts = [gather.at_the_edges(covers)]
    if cut:
        inner = [(number, found.inner) for number, found in enumerate(covers) if found.inner]
        parts += [gather.waiting(inner), gather.rolled_up(cut, covers)]
    return " UNION ALL ".join(parts)


def rows(sql: str, parameters: Parameters) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters.values)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


class Gathering:
    """Writes the parts. Their OFFSET 0 keeps PostgreSQL from joining in another order: it cannot know how short the
    spans are, and would rather read whole tables.
    """

    def __init__(self, selection: Selection, columns: Sequence[str], parameters: Parameters) -> None:
        self._selection, self._columns, self._parameters = selection, columns, parameters
        self.workspace = parameters.add(selection.workspace_id)
        # No other table in these statements has columns of these names.
        self.keys = "".join(f"{name}, " for name in (*columns, "currency"))

    def at_the_edges(self, covers: Sequence[Cover]) -> str:
        """Of entries that whole pieces of time do not cover."""
        edges = [(number, edge) for number, found in enumerate(covers) for edge in found.edges]
        return f"""
            SELECT bucket, {self.keys} {_made(SUMS_OF_ENTRIES)} FROM {
            self._unnest(edges)
        } CROSS JOIN LATERAL (
                SELECT {self.keys} {", ".join(COUNTS)}, cost FROM billing_usagerecord entry {self._tags()}
                {
            self._where(
                "entry",
                f"entry.workspace_id = {self.workspace}",
                "entry.entry = 'settled'",
                "entry.timestamp >= span.lower",
                "entry.timestamp < span.upper",
            )
        } OFFSET 0
            ) entry GROUP BY {self.keys} bucket"""  # noqa: S608

    def waiting(self, spans: Sequence[tuple[int, Span]]) -> str:
        """Of entries in numbered spans that are not in the roll-ups yet."""
        return f"""
            SELECT bucket, {self.keys} {_made(SUMS_OF_ENTRIES)} FROM billing_unsealedusage waiting
            JOIN billing_usagerecord entry ON entry.id = waiting.record_id AND entry.entry = 'settled'
                AND entry.workspace_id = {self.workspace}
            JOIN {self._unnest(spans)} ON entry.timestamp >= span.lower AND entry.timestamp < span.upper
            {self._tags()} {self._where("entry", f"waiting.workspace_id = {self.workspace}")}
            GROUP BY {self.keys} bucket"""  # noqa: S608

    def rolled_up(self, cut: Cut, covers: Sequence[Cover]) -> str:
        """Of whole pieces of time."""
        own = self._own(cut)
        if self._is_narrow(cut):
            return self.rolled_up_of(cut, self._narrowed(own), covers)
        of_groups = f"""
            SELECT bucket, {self.keys} {SUMS} FROM (
                SELECT bucket, group_id, {_made(SUMS_OF_SUMS)} FROM {self._found(cut, covers, SUMS)}
                GROUP BY bucket, group_id
            ) rollup JOIN billing_usagegroup kind ON kind.id = rollup.group_id {self._where("kind", own)}"""  # noqa: S608
        return of_groups if self._are_all(cut) else self._together(f"({of_groups}) of_groups")

    def rolled_up_of(self, cut: Cut, groups: str, covers: Sequence[Cover]) -> str:
        """Of whole pieces of time, and of these groups (what can stand in a FROM), which are looked up one by one."""
        of_groups = f"""
            SELECT bucket, {self.keys} {SUMS} FROM {groups} kind CROSS JOIN LATERAL (
                SELECT bucket, {_made(SUMS_OF_SUMS)} FROM {self.pieces(covers)} CROSS JOIN LATERAL (
                    SELECT {SUMS} FROM billing_usagerollup rollup WHERE rollup.group_id = kind.id
                    AND rollup.grain = span.grain AND rollup.start >= span.lower AND rollup.start < span.upper OFFSET 0
                ) rollup GROUP BY bucket
            ) rollup"""  # noqa: S608
        return of_groups if self._are_all(cut) else self._together(f"({of_groups}) of_groups")

    def one_sum(self, cut: Cut, found: Cover, name: str) -> str:
        """`name`, one of the sums, of each group (`group_id`) with its keys."""
        own, made = self._own(cut), f"{SUMS_OF_SUMS[name]} AS {name}"
        if self._is_narrow(cut):
            return f"""
                SELECT kind.id AS group_id, {self.keys} {made} FROM {self._narrowed(own)} kind
                CROSS JOIN {self.pieces([found])} CROSS JOIN LATERAL (
                    SELECT {name} FROM billing_usagerollup rollup WHERE rollup.group_id = kind.id
                    AND rollup.grain = span.grain AND rollup.start >= span.lower AND rollup.start < span.upper OFFSET 0
                ) rollup GROUP BY {self.keys} kind.id"""  # noqa: S608
        return f"""
            SELECT group_id, {self.keys} {name} FROM (
                SELECT group_id, {made} FROM {self._found(cut, [found], name)} GROUP BY group_id
            ) rollup JOIN billing_usagegroup kind ON kind.id = rollup.group_id {self._where("kind", own)}"""  # noqa: S608

    def pieces(self, covers: Sequence[Cover]) -> str:
        """`span` (bucket, lower, upper, grain), for a FROM."""
        pieces = [(number, piece) for number, found in enumerate(covers) for piece in found.pieces]
        numbers = self._parameters.add_array(number for number, _ in pieces)
        lower = self._parameters.add_array(piece.lower for _, piece in pieces)
        upper = self._parameters.add_array(piece.upper for _, piece in pieces)
        grains = self._parameters.add_array(piece.grain.value for _, piece in pieces)
        arrays = f"{numbers}::int[], {lower}::bigint[], {upper}::bigint[], {grains}::smallint[]"
        return f"""(
            SELECT bucket, timestamptz 'epoch' + first * interval '1 second' AS lower,
                timestamptz 'epoch' + last * interval '1 second' AS upper, grain
            FROM unnest({arrays}) piece (bucket, first, last, grain)
        ) span"""  # noqa: S608

    def _own(self, cut: Cut) -> str:
        """That a group is one of the workspace's in this cut."""
        own = f"kind.workspace_id = {self.workspace} AND kind.cut = {cut.number}"
        return own if "session_id" in cut.columns else f"{own} AND kind.session_id IS NULL"

    def _is_narrow(self, cut: Cut) -> bool:
        dimensions = self._selection.dimensions
        return bool(dimensions & NARROWING or (dimensions and len(cut.dimensions) <= FEW_DIMENSIONS))

    def _are_all(self, cut: Cut) -> bool:
        """That groups of the cut are told apart by all columns that there are, so that no two are to be added."""
        return set(cut.columns) == set(self._columns)

    def _together(self, source: str) -> str:
        return f"SELECT bucket, {self.keys} {_made(SUMS_OF_SUMS)} FROM {source} GROUP BY {self.keys} bucket"  # noqa: S608

    def _narrowed(self, own: str) -> str:
        return f"(SELECT * FROM billing_usagegroup kind {self._where('kind', own)} OFFSET 0)"  # noqa: S608

    def _found(self, cut: Cut, covers: Sequence[Cover], names: str) -> str:
        """Roll-ups by time, of all groups of a cut, for a FROM."""
        return f"""{self.pieces(covers)} CROSS JOIN LATERAL (
                SELECT group_id, {names} FROM billing_usagerollup rollup
                WHERE rollup.workspace_id = {self.workspace} AND rollup.cut = {cut.number}
                AND rollup.grain = span.grain AND rollup.start >= span.lower AND rollup.start < span.upper OFFSET 0
            ) rollup"""  # noqa: S608

    def _unnest(self, spans: Sequence[tuple[int, Span]]) -> str:
        numbers = self._parameters.add_array(number for number, _ in spans)
        lower = self._parameters.add_array(span.lower for _, span in spans)
        upper = self._parameters.add_array(span.upper for _, span in spans)
        return (
            f"unnest({numbers}::int[], {lower}::timestamptz[], {upper}::timestamptz[])"
            " span (bucket, lower, upper)"
        )

    def _tags(self) -> str:
        needed = "tag" in self._columns or "tag" in self._selection.dimensions
        return TAGS if needed else ""

    def _where(self, row: str, *more: str) -> str:
        conditions = [
            condition.of(
                "of_entry" if (row, condition.dimension) == ("entry", "tag") else row, self._parameters
            )
            for condition in self._selection.conditions
        ]
        return f"WHERE {' AND '.join([*more, *conditions])}" if more or conditions else ""


def _made(sums: Mapping[str, str]) -> str:
    return ", ".join(f"{made} AS {name}" for name, made in sums.items())
