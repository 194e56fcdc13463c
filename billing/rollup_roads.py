"""The roads from the ledger to the roll-ups, one for each cut; see `billing.reconciliation`.

Of a period the pieces of time that begin in it are compared. What is not in the roll-ups yet, because it is not sealed,
is added to them, as every query does.
"""

from __future__ import annotations

from billing.cuts import COMMON, CUTS, Cut
from billing.reconciliation import Compared, Scope, Select, road
from billing.rollups import SUMS_OF_ENTRIES, SUMS_OF_SUMS, TAGS, interval

SUMS = tuple(SUMS_OF_ENTRIES)
EXTENT = ("first", "last")
# The workspace is given, and null joins nothing.
UNIQUE = tuple(name for name in COMMON if name != "workspace_id")


def _register(cut: Cut) -> None:
    called = f"rollups by {cut.name}"
    keys = (*UNIQUE, *cut.columns)

    @road(called, keys=["piece", *keys], columns=SUMS)
    def finest(scope: Scope) -> Compared:
        """The finest grain and what waits, against the entries."""
        return Compared(_of_entries(cut, scope), _of_rollups(cut, scope))

    @road(f"{called}, in coarser grains", keys=["grain", "piece", *keys], columns=SUMS)
    def coarser(scope: Scope) -> Compared:
        """Every other grain, against the finest."""
        return Compared(_gathered(cut, scope), _coarser(cut, scope))

    if cut.is_ranked:

        @road(f"lifetimes by {cut.name}", keys=["group_id"], columns=(*EXTENT, *SUMS))
        def lifetimes(scope: Scope) -> Compared:
            """What groups had since ever, against all of the finest grain, whatever the period."""
            return Compared(_all_pieces(cut, scope), _lifetimes(cut, scope))


def _of_entries(cut: Cut, scope: Scope) -> Select:
    piece = f"date_bin({interval(cut.grains[0])}, entry.timestamp, timestamptz 'epoch')"
    condition, parameters = scope.within(piece)
    sql = f"""
        SELECT {piece}::text AS piece, {_keys(cut, "")}, {_sums(SUMS_OF_ENTRIES)}
        FROM billing_usagerecord entry {_tags(cut)}
        WHERE entry.workspace_id = %s AND entry.entry = 'settled' AND {condition}
        GROUP BY {_numbers(1 + len(_names(cut)))}
    """  # noqa: S608
    return Select(sql, [scope.workspace_id, *parameters])


def _of_rollups(cut: Cut, scope: Scope) -> Select:
    grain = cut.grains[0]
    binned = f"date_bin({interval(grain)}, entry.timestamp, timestamptz 'epoch')"
    condition, parameters = scope.within("part.piece")
    names, sums = ", ".join(_names(cut)), ", ".join(f"rollup.{name}" for name in SUMS)
    sql = f"""
        SELECT part.piece::text AS piece, {_keys(cut, "part.")}, {_sums(SUMS_OF_SUMS)} FROM (
            SELECT rollup.start AS piece, {_qualified(cut, "of")}, {sums}
            FROM billing_usagerollup rollup JOIN billing_usagegroup of ON of.id = rollup.group_id
            WHERE rollup.workspace_id = %s AND rollup.cut = {cut.number} AND rollup.grain = {grain.value}
            UNION ALL
            SELECT {binned}, {names}, {", ".join(SUMS_OF_ENTRIES.values())}
            FROM billing_unsealedusage waiting JOIN billing_usagerecord entry ON entry.id = waiting.record_id
            {_tags(cut)}
            WHERE entry.workspace_id = %s AND entry.entry = 'settled' GROUP BY {_numbers(1 + len(_names(cut)))}
        ) part WHERE {condition} GROUP BY {_numbers(1 + len(_names(cut)))}
    """  # noqa: S608
    return Select(sql, [scope.workspace_id, scope.workspace_id, *parameters])


def _gathered(cut: Cut, scope: Scope) -> Select:
    finest, *coarse = cut.grains
    grains = ", ".join(f"({grain.value}, {interval(grain)})" for grain in coarse)
    lengths = (
        f"(VALUES {grains}) grain (number, length)"
        if coarse
        else "(SELECT 0, interval '1 s' WHERE false) grain (number, length)"
    )
    piece = "date_bin(grain.length, rollup.start, timestamptz 'epoch')"
    condition, parameters = scope.within(piece)
    sql = f"""
        SELECT grain.number::text AS grain, {piece}::text AS piece, {_keys(cut, "of.")}, {_summed("rollup")}
        FROM billing_usagerollup rollup JOIN billing_usagegroup of ON of.id = rollup.group_id CROSS JOIN {lengths}
        WHERE rollup.workspace_id = %s AND rollup.cut = {cut.number} AND rollup.grain = {finest.value}
        AND {condition} GROUP BY {_numbers(2 + len(_names(cut)))}
    """  # noqa: S608
    return Select(sql, [scope.workspace_id, *parameters])


def _coarser(cut: Cut, scope: Scope) -> Select:
    condition, parameters = scope.within("rollup.start")
    sql = f"""
        SELECT rollup.grain::text AS grain, rollup.start::text AS piece, {_keys(cut, "of.")}, {_summed("rollup")}
        FROM billing_usagerollup rollup JOIN billing_usagegroup of ON of.id = rollup.group_id
        WHERE rollup.workspace_id = %s AND rollup.cut = {cut.number} AND rollup.grain <> {cut.grains[0].value}
        AND {condition} GROUP BY {_numbers(2 + len(_names(cut)))}
    """  # noqa: S608
    return Select(sql, [scope.workspace_id, *parameters])


def _all_pieces(cut: Cut, scope: Scope) -> Select:
    sql = f"""
        SELECT group_id::text AS group_id, {_seconds("min(start)")} AS first, {_seconds("max(start)")} AS last,
            {_summed("rollup")}
        FROM billing_usagerollup rollup
        WHERE workspace_id = %s AND cut = {cut.number} AND grain = {cut.grains[0].value} GROUP BY 1
    """  # noqa: S608
    return Select(sql, [scope.workspace_id])


def _lifetimes(cut: Cut, scope: Scope) -> Select:
    sql = f"""
        SELECT group_id::text AS group_id, {_seconds("first")} AS first, {_seconds("last")} AS last, {", ".join(SUMS)}
        FROM billing_usagelifetime WHERE workspace_id = %s AND cut = {cut.number}
    """  # noqa: S608
    return Select(sql, [scope.workspace_id])


def _names(cut: Cut) -> tuple[str, ...]:
    return (*UNIQUE, *cut.columns)


def _keys(cut: Cut, row: str) -> str:
    return ", ".join(f"COALESCE({row}{name}::text, '') AS {name}" for name in _names(cut))


def _qualified(cut: Cut, row: str) -> str:
    return ", ".join(f"{row}.{name}" for name in _names(cut))


def _sums(made: dict[str, str]) -> str:
    return ", ".join(f"{expression} AS {name}" for name, expression in made.items())


def _summed(row: str) -> str:
    return ", ".join(f"sum({row}.{name}) AS {name}" for name in SUMS)


def _seconds(moment: str) -> str:
    return f"extract(epoch FROM {moment})"


def _numbers(count: int) -> str:
    return ", ".join(str(number) for number in range(1, count + 1))


def _tags(cut: Cut) -> str:
    return TAGS if "tag" in cut.columns else ""


for _cut in CUTS:
    _register(_cut)
