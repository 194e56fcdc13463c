"""The ledger as CSV or JSON Lines, one row per settled model call and correction, in order of time.

See `agentplatform.lib.csv_stream` for how it streams.
"""

from __future__ import annotations

from functools import partial

from agentplatform.lib.csv_stream import RowStream, csv_head, csv_statement, json_lines_statement
from billing.exports.columns import as_csv, as_json
from billing.exports.options import Options
from billing.usage import Records

BOM = "\ufeff".encode()
# An export may take its time, but only one core.
OF_ONE_RUN = {"jit": "off", "max_parallel_workers_per_gather": "0"}
# In order of time without sorting: rows come at once, straight from the index `usage_by_time`. Left to itself
# PostgreSQL may sort a large export as a whole first. (A run's few calls are found by another index, and are
# sorted in no time.)
FROM_INDEX = {**OF_ONE_RUN, "enable_sort": "off"}


def usage_stream(
    records: Records, workspace_slug: str, options: Options, of_one_run: bool = False
) -> RowStream:
    """`records`, all of one workspace, as CSV or JSON Lines. `of_one_run`: they are narrowed to a single run."""
    return RowStream(
        head(options),
        partial(statement, records, workspace_slug, options),
        {**planner(of_one_run), **zone(options)},
    )


def planner(of_one_run: bool) -> dict[str, str]:
    """PostgreSQL's settings for it."""
    return OF_ONE_RUN if of_one_run else FROM_INDEX


def zone(options: Options) -> dict[str, str]:
    """By which times are written in their zone. Django reads times in UTC only: set it for the rows alone."""
    return {"TimeZone": options.tz}


def head(options: Options) -> bytes:
    """What stands before the rows."""
    if options.format == "jsonl":
        return b""
    return (BOM if options.bom else b"") + csv_head(list(options.chosen), options.separator)


def statement(records: Records, workspace_slug: str, options: Options) -> str:
    """The `COPY` that writes the rows."""
    ordered = records.order_by("timestamp", "id")
    if options.format == "jsonl":
        selected = as_json(options.chosen, workspace_slug, options.tz)
        return json_lines_statement(ordered.values_list(*selected), list(options.chosen))
    selected = as_csv(options.chosen, workspace_slug, options.tz, options.decimal == "comma")
    return csv_statement(ordered.values_list(*selected), options.separator)
