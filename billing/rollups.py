"""Roll-ups of the ledger: sums by group and piece of time, to which each entry is added as it is sealed.

They follow the hash chain in the very transaction that seals an entry and takes it out of the outbox. So what is
settled is at any moment in exactly one of two places, the roll-ups or the outbox, and a query that reads both in one
statement is exact, whether or not a worker runs. Corrections carry the timestamp of what they correct and negative
counts, so they need nothing of their own.

Where a cut has many groups, lifetimes follow with them: what each has had since ever.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import cache

from django.db import connection

from billing.cuts import COMMON, CUTS, Cut
from billing.grains import Grain
from billing.totals import COUNTS

# How each column of a roll-up is made of entries, of parts that were summed already, and of two roll-ups that meet.
SUMS_OF_ENTRIES = {
    **{name: f"sum({name})::bigint" for name in COUNTS},
    "unpriced_requests": "COALESCE(sum(requests) FILTER (WHERE cost IS NULL), 0)::bigint",
    "cost": "sum(cost)",
}
SUMS_OF_SUMS = {name: f"sum({name})" + ("" if name == "cost" else "::bigint") for name in SUMS_OF_ENTRIES}
MEETING = {name: f"rollup.{name} + EXCLUDED.{name}" for name in SUMS_OF_ENTRIES} | {
    "cost": "COALESCE(rollup.cost + EXCLUDED.cost, rollup.cost, EXCLUDED.cost)"
}
# A call with two tags counts in both; one without any in the group without a tag.
TAGS = "LEFT JOIN LATERAL (SELECT DISTINCT tag FROM unnest(entry.tags) tag) of_entry ON true"
COLUMNS = ", ".join(
    dict.fromkeys(
        [*COMMON, "timestamp", "tags", "cost", *COUNTS]
        + [column for cut in CUTS for column in cut.columns if column != "tag"]
    )
)
SETTLED = f"SELECT {COLUMNS} FROM billing_usagerecord WHERE id = ANY(%s) AND entry = 'settled'"  # noqa: S608


def fold(ids: Sequence[uuid.UUID]) -> None:
    """Adds the settled ones of these entries to the roll-ups. Follows the seals."""
    with connection.cursor() as cursor:
        cursor.execute(folding(SETTLED), [list(ids)])


@cache
def folding(source: str, longest: Grain | None = None, cuts: Sequence[Cut] = CUTS) -> str:
    """One statement that adds what `source` selects to the cuts, in grains up to the longest, or to all there is."""
    steps = [_steps(cut, [grain for grain in cut.grains if not longest or grain <= longest]) for cut in cuts]
    if not longest:
        steps += [_lifetimes(cut) for cut in cuts if cut.is_ranked]
    return f"WITH entry AS MATERIALIZED ({source}), {', '.join(steps)} SELECT 1"


def _steps(cut: Cut, chosen: Sequence[Grain]) -> str:
    """The cut's sums in its finest grain, its groups that are new, and the roll-ups in the chosen ones of its grains.

    They are written in order of time, so that what a query reads together lies together.
    """
    names = ", ".join([*COMMON, *cut.columns])
    sums = ", ".join(SUMS_OF_ENTRIES)
    grains = ", ".join(f"({grain.value}, {interval(grain)})" for grain in chosen)
    return f"""
        summed_{cut.number} AS MATERIALIZED (
            SELECT {group_id(cut)} AS group_id, * FROM (
                SELECT {names}, {_start(interval(cut.grains[0]), "timestamp")} AS start,
                    {", ".join(f"{made} AS {name}" for name, made in SUMS_OF_ENTRIES.items())}
                FROM entry {TAGS if "tag" in cut.columns else ""} GROUP BY {names}, start
            ) piece
        ),
        groups_{cut.number} AS (
            INSERT INTO billing_usagegroup (id, cut, {names})
            SELECT DISTINCT ON (group_id) group_id, {cut.number}, {names} FROM summed_{cut.number} ORDER BY group_id
            ON CONFLICT DO NOTHING
        ),
        rollups_{cut.number} AS (
            INSERT INTO billing_usagerollup AS rollup (group_id, grain, start, workspace_id, cut, {sums})
            SELECT group_id, grain.number, {_start("grain.length", "summed.start")} AS piece, workspace_id,
                {cut.number},
                {", ".join(SUMS_OF_SUMS.values())}
            FROM summed_{cut.number} summed, (VALUES {grains}) grain (number, length)
            GROUP BY group_id, grain.number, piece, workspace_id ORDER BY grain.number, piece, group_id
            ON CONFLICT (group_id, grain, start) DO UPDATE SET
                {", ".join(f"{name} = {sum_}" for name, sum_ in MEETING.items())}
        )"""  # noqa: S608


def _lifetimes(cut: Cut) -> str:
    """What is added to the sums since ever of a cut's groups."""
    return f"""
        lifetimes_{cut.number} AS (
            INSERT INTO billing_usagelifetime AS rollup
                (group_id, workspace_id, cut, first, last, {", ".join(SUMS_OF_ENTRIES)})
            SELECT group_id, workspace_id, {cut.number}, min(start), max(start), {", ".join(SUMS_OF_SUMS.values())}
            FROM summed_{cut.number} GROUP BY group_id, workspace_id ORDER BY group_id
            ON CONFLICT (group_id) DO UPDATE SET
                first = LEAST(rollup.first, EXCLUDED.first), last = GREATEST(rollup.last, EXCLUDED.last),
                {", ".join(f"{name} = {sum_}" for name, sum_ in MEETING.items())}
        )"""  # noqa: S608


def group_id(cut: Cut, *, workspace: str = "workspace_id", currency: str = "currency") -> str:
    """The id of the group that a row with the cut's columns is of: a hash, which needs no look-up."""
    values = ", ".join([str(cut.number), workspace, currency, *cut.columns])
    text = f"convert_to(jsonb_build_array({values})::text, 'UTF8')"
    return f"encode(substring(sha256({text}) FOR 16), 'hex')::uuid"


def interval(grain: Grain) -> str:
    return f"interval '{int(grain.length.total_seconds())} seconds'"


def _start(length: str, moment: str) -> str:
    return f"date_bin({length}, {moment}, timestamptz 'epoch')"
