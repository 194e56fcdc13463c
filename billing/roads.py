"""The roads from the ledger to its sums that this room has itself; see `billing.reconciliation`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from billing.exports.columns import DEFAULT, UTC, as_csv
from billing.models import UsageRecord
from billing.reconciliation import Compared, Scope, Select, road
from billing.repricing import COUNTS

SUMMED = ("requests", "input_tokens", "output_tokens", "cost")
PRICED = (*COUNTS, "cost")
EXPORTED_BY = ("agent", "provider", "model", "currency")


def ledger_sums(scope: Scope, keys: dict[str, str], columns: tuple[str, ...] = SUMMED) -> Select:
    """The ledger's own sums in the period, in plain SQL. `keys` are expressions over `entry` by name."""
    condition, parameters = scope.within("entry.timestamp")
    grouped = ", ".join(f"{expression} AS {name}" for name, expression in keys.items())
    sums = ", ".join(f"sum(entry.{name}) AS {name}" for name in columns)
    numbers = ", ".join(str(number) for number in range(1, len(keys) + 1))
    sql = f"""
        SELECT {grouped}, {sums} FROM billing_usagerecord entry
        WHERE entry.workspace_id = %s AND entry.entry = 'settled' AND {condition} GROUP BY {numbers}
    """  # noqa: S608
    return Select(sql, [scope.workspace_id, *parameters])


@road("corrections", keys=["entry_id"], columns=PRICED)
def corrections(scope: Scope) -> Compared:
    """Each reversal takes back exactly the entry that it reverses."""
    condition, parameters = scope.within("reversal.timestamp")
    negated = ", ".join(f"-entry.{name} AS {name}" for name in PRICED)
    own = ", ".join(f"reversal.{name}" for name in PRICED)
    sql = """
        SELECT reversal.id::text AS entry_id, {columns} FROM billing_usagerecord reversal
        LEFT JOIN billing_usagerecord entry ON entry.id = reversal.correction_of
        WHERE reversal.workspace_id = %s AND reversal.is_reversal AND {condition}
    """
    values = [scope.workspace_id, *parameters]
    return Compared(
        expected=Select(sql.format(columns=negated, condition=condition), values),
        found=Select(sql.format(columns=own, condition=condition), values),
    )


@road("export", keys=EXPORTED_BY, columns=SUMMED)
def export(scope: Scope) -> Compared:
    """What the figures in the export's rows add up to, by what they are of."""
    columns = dict(zip(DEFAULT, as_csv(DEFAULT, scope.slug, UTC, decimal_comma=False), strict=True))
    # Names as they are: spreadsheets get an apostrophe before what looks like a formula.
    texts = {f"row_{name}": Cast(name, TextField()) for name in EXPORTED_BY}
    figures = {f"row_{name}": Cast(columns[name], TextField()) for name in SUMMED}
    rows = _records(scope).order_by().annotate(**texts, **figures).values_list(*texts, *figures)
    sql, parameters = rows.query.sql_with_params()
    keys = ", ".join(f"row_{name} AS {name}" for name in EXPORTED_BY)
    sums = ", ".join(f"sum(row_{name}::numeric) AS {name}" for name in SUMMED)
    return Compared(
        expected=ledger_sums(scope, {name: f"entry.{name}::text" for name in EXPORTED_BY}),
        found=Select(f"SELECT {keys}, {sums} FROM ({sql}) exported GROUP BY 1, 2, 3, 4", parameters),  # noqa: S608
    )


def _records(scope: Scope) -> QuerySet[UsageRecord, Any]:
    """What an export of the period has in it."""
    records = UsageRecord.objects.filter(workspace_id=scope.workspace_id).settled()
    if scope.start is not None:
        records = records.filter(timestamp__gte=scope.start)
    if scope.end is not None:
        records = records.filter(timestamp__lt=scope.end)
    return records
