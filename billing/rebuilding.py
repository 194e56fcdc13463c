"""Making the roll-ups anew from what the ledger has sealed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from agentplatform.lib import hash_chain
from billing.cuts import CUTS, Cut
from billing.grains import EPOCH, Grain, Span
from billing.rollups import COLUMNS, SUMS_OF_SUMS, folding
from billing.sealing import LEDGER

IN_A_WINDOW = f"""
    SELECT {COLUMNS} FROM billing_usagerecord record
    WHERE workspace_id = %s AND timestamp >= %s AND timestamp < %s AND entry = 'settled'
    AND NOT EXISTS (SELECT FROM billing_unsealedusage waiting WHERE waiting.record_id = record.id)
"""  # noqa: S608
FORGET = """
    DELETE FROM billing_usagerollup
    WHERE cut = ANY(%s) AND grain = ANY(%s) AND workspace_id = %s AND start >= %s AND start < %s
"""
# A window is a piece of this grain: each row of it and of finer ones lies in one of them.
WINDOW = Grain.THIRTY_TWO_DAYS
LONGER = f"""
    INSERT INTO billing_usagerollup (group_id, grain, start, workspace_id, cut, {", ".join(SUMS_OF_SUMS)})
    SELECT group_id, %(grain)s, date_bin(%(length)s, start, timestamptz 'epoch') AS piece, workspace_id, cut,
        {", ".join(SUMS_OF_SUMS.values())}
    FROM billing_usagerollup WHERE workspace_id = %(workspace)s AND cut = %(cut)s AND grain = {WINDOW.value}
    GROUP BY group_id, piece, workspace_id, cut
"""  # noqa: S608
LIFETIMES = f"""
    INSERT INTO billing_usagelifetime (group_id, workspace_id, cut, first, last, {", ".join(SUMS_OF_SUMS)})
    SELECT group_id, workspace_id, cut, min(start), max(start), {", ".join(SUMS_OF_SUMS.values())}
    FROM billing_usagerollup WHERE workspace_id = %s AND cut = %s AND grain = %s GROUP BY group_id, workspace_id, cut
"""  # noqa: S608


def rebuild(workspace_id: uuid.UUID, cuts: Sequence[Cut] = CUTS) -> Iterator[Span]:
    """Makes a workspace's roll-ups anew from its sealed entries, window by window; yields each that is done.

    Each window is a transaction of its own that holds up the sealing of new entries, and no reader: until it commits
    they read the roll-ups that there were. What spans windows is summed at the end.
    """
    for window in _windows(workspace_id):
        with transaction.atomic(), connection.cursor() as cursor:
            hash_chain.lock(LEDGER)
            # A window may have a million entries, which are grouped in ten ways.
            cursor.execute("SET LOCAL work_mem = '128MB'")
            bounds: list[Any] = [workspace_id, window.lower, window.upper]
            grains = [grain for grain in Grain if grain <= WINDOW]
            cursor.execute(FORGET, [[cut.number for cut in cuts], grains, *bounds])
            cursor.execute(folding(IN_A_WINDOW, longest=WINDOW, cuts=tuple(cuts)), bounds)
        yield window
    for cut in cuts:
        with transaction.atomic(), connection.cursor() as cursor:
            hash_chain.lock(LEDGER)
            _sum_up(workspace_id, cut, cursor)


def _sum_up(workspace_id: uuid.UUID, cut: Cut, cursor: CursorWrapper) -> None:
    for grain in cut.grains:
        if grain > WINDOW:
            cursor.execute(
                "DELETE FROM billing_usagerollup WHERE workspace_id = %s AND cut = %s AND grain = %s",
                [workspace_id, cut.number, grain],
            )
            values: dict[str, Any] = {
                "workspace": workspace_id,
                "cut": cut.number,
                "grain": grain,
                "length": grain.length,
            }
            cursor.execute(LONGER, values)
    if cut.is_ranked:
        cursor.execute(
            "DELETE FROM billing_usagelifetime WHERE workspace_id = %s AND cut = %s",
            [workspace_id, cut.number],
        )
        cursor.execute(LIFETIMES, [workspace_id, cut.number, cut.grains[0]])


def _windows(workspace_id: uuid.UUID) -> list[Span]:
    """Those in which a workspace has entries or roll-ups."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(first), max(last) FROM ("
            " SELECT min(timestamp) first, max(timestamp) last FROM billing_usagerecord"
            " WHERE workspace_id = %s AND entry = 'settled'"
            " UNION ALL SELECT min(start), max(start) FROM billing_usagerollup WHERE workspace_id = %s) known",
            [workspace_id, workspace_id],
        )
        first, last = cursor.fetchone()
    if first is None:
        return []
    length = WINDOW.length
    lower = first - (first - EPOCH) % length
    return [
        Span(lower + number * length, lower + (number + 1) * length)
        for number in range((last - lower) // length + 1)
    ]
