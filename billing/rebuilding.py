"""Making the roll-ups anew from what the ledger has sealed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction

from agentplatform.lib import hash_chain
from billing.cuts import CUTS
from billing.grains import COARSEST, EPOCH, Grain, Span
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
LIFETIMES = f"""
    INSERT INTO billing_usagelifetime (group_id, workspace_id, cut, first, last, {", ".join(SUMS_OF_SUMS)})
    SELECT group_id, workspace_id, cut, min(start), max(start), {", ".join(SUMS_OF_SUMS.values())}
    FROM billing_usagerollup WHERE workspace_id = %s AND cut = %s AND grain = %s GROUP BY group_id, workspace_id, cut
"""  # noqa: S608


def rebuild(workspace_id: uuid.UUID) -> Iterator[Span]:
    """Makes a workspace's roll-ups anew from its sealed entries, window by window; yields each that is done.

    Each window is a transaction of its own that holds up the sealing of new entries, and no reader: until it commits
    they read the roll-ups that there were. At the end what each group had since ever is summed.
    """
    for window in _windows(workspace_id):
        with transaction.atomic(), connection.cursor() as cursor:
            hash_chain.lock(LEDGER)
            # A window may have a million entries, which are grouped in eight ways.
            cursor.execute("SET LOCAL work_mem = '128MB'")
            bounds: list[Any] = [workspace_id, window.lower, window.upper]
            cursor.execute(FORGET, [[cut.number for cut in CUTS], list(Grain), *bounds])
            cursor.execute(folding(IN_A_WINDOW, with_lifetimes=False), bounds)
        yield window
    with transaction.atomic(), connection.cursor() as cursor:
        hash_chain.lock(LEDGER)
        cursor.execute("DELETE FROM billing_usagelifetime WHERE workspace_id = %s", [workspace_id])
        for cut in CUTS:
            if cut.is_ranked:
                cursor.execute(LIFETIMES, [workspace_id, cut.number, cut.grains[0]])


def _windows(workspace_id: uuid.UUID) -> list[Span]:
    """The coarsest pieces of time in which a workspace has entries or roll-ups: each row lies in one of them."""
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
    length = COARSEST.length
    lower = first - (first - EPOCH) % length
    return [
        Span(lower + number * length, lower + (number + 1) * length)
        for number in range((last - lower) // length + 1)
    ]
