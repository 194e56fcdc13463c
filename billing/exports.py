"""The ledger as CSV, one row per settled model call, in order of time.

See `agentplatform.lib.csv_stream` for how it streams.
"""

from __future__ import annotations

from django.db.models import CharField, Value
from django.db.models.expressions import Combinable

from agentplatform.lib.csv_stream import CsvStream, PlainDecimal, SafeText, UtcTimestamp
from billing.usage import Period, Records

# An export may take its time, but only one core.
OF_ONE_RUN = {"jit": "off", "max_parallel_workers_per_gather": "0"}
# In order of time without sorting: rows come at once, straight from the index `usage_by_time`. Left to itself
# PostgreSQL may sort a large export as a whole first. (A run's few calls are found by another index, and are
# sorted in no time.)
FROM_INDEX = {**OF_ONE_RUN, "enable_sort": "off"}

EXAMPLE = """\
id,timestamp,workspace,run_id,session_id,agent,workflow,user,end_user,api_key,provider,model,status,input_tokens,\
cached_tokens,cache_write_tokens,output_tokens,reasoning_tokens,requests,input_price,output_price,cost,currency,\
price_version,correction_of
01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e,2026-11-21T08:30:00.125Z,acme,01934d6e-6b0a-7d41-8c4d-1e7f0a2b3c4d,,\
trade-assistant,,bob,customer 7,,openai,gpt-4o-mini,ok,1000,0,0,100,0,1,0.00000015,0.0000006,0.00021,USD,\
genai-prices:0.2.3,
"""


def columns(workspace_slug: str) -> dict[str, str | Combinable]:
    """The CSV's columns, in its order."""
    return {
        "id": "id",
        "timestamp": UtcTimestamp("timestamp"),
        "workspace": Value(workspace_slug, output_field=CharField()),
        "run_id": "run_id",
        "session_id": "session_id",
        "agent": SafeText("agent"),
        "workflow": SafeText("workflow"),
        "user": SafeText("user_name__name"),
        "end_user": SafeText("end_user_name__name"),
        "api_key": SafeText("api_key_name__name"),
        "provider": SafeText("provider"),
        "model": SafeText("model"),
        "status": "status",
        "input_tokens": "input_tokens",
        "cached_tokens": "cached_tokens",
        "cache_write_tokens": "cache_write_tokens",
        "output_tokens": "output_tokens",
        "reasoning_tokens": "reasoning_tokens",
        "requests": "requests",
        "input_price": PlainDecimal("input_price"),
        "output_price": PlainDecimal("output_price"),
        "cost": PlainDecimal("cost"),
        "currency": SafeText("currency"),
        "price_version": "price_version",
        "correction_of": "correction_of",
    }


def filename(workspace_slug: str, period: Period) -> str:
    return f"usage-{workspace_slug}-{period.start:%Y%m%d}-{period.end:%Y%m%d}.csv"


def usage_csv(records: Records, workspace_slug: str, of_one_run: bool = False) -> CsvStream:
    """`records`, all of one workspace, as CSV. `of_one_run` says that they are narrowed to a single run."""
    selected = columns(workspace_slug)
    rows = records.order_by("timestamp", "id").values_list(*selected.values())
    return CsvStream(list(selected), rows, OF_ONE_RUN if of_one_run else FROM_INDEX)
