"""Work at a million rows: the streamed CSV export of usage, and the first page of a filtered list of runs."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg
from psycopg import sql

from agentplatform.database import embedded_url
from bench.platform import API, Platform
from bench.processes import MemoryPeak
from bench.reads import read_latencies

ROWS = 1_000_000
AGENTS = 50
PAGES = 200
# Rows are copies of one that the platform wrote, `template`, but for these columns, which `n` counts.
# Both tables are in order of time, one row a second.
USAGE = {
    "id": "uuidv7(make_interval(secs => n - {rows}))",
    "timestamp": "now() + make_interval(secs => n - {rows})",
    "call_id": "gen_random_uuid()",
    "run_id": "gen_random_uuid()",
    "agent": "'agent-' || n % {agents}",
    "input_tokens": "100 + n % 900",
    "output_tokens": "10 + n % 90",
    "cost": "0.000001 * (n % 1000)",
}
RUNS = {
    "id": "uuidv7(make_interval(secs => n - {rows}))",
    "created_at": "now() + make_interval(secs => n - {rows})",
    "agent_id": "(SELECT (array_agg(id))[1 + n % {agents}] FROM chosen)",
    "status": "CASE n / {agents} % 50 WHEN 7 THEN 'failed' WHEN 9 THEN 'cancelled' ELSE 'completed' END",
    "session_id": "NULL",
    "job_id": "NULL",
    "worker_id": "NULL",
}


@dataclass(frozen=True, slots=True)
class Export:
    rows: int
    first_byte_ms: float
    rows_per_second: float
    growth: int
    """Bytes by which the platform's resident memory grew at most."""


@dataclass(frozen=True, slots=True)
class Page:
    """Milliseconds."""

    p50: float
    p95: float


def fill(platform: Platform) -> None:
    """Loads a million usage records and a million runs of 50 agents."""
    with psycopg.connect(embedded_url(platform.data_dir), autocommit=True) as connection:
        # Neither the foreign keys of copies nor the ledger's triggers need to be asked a million times.
        connection.execute("SET session_replication_role = replica")
        multiply(connection, "billing_usagerecord", USAGE, "entry = 'settled'")
        multiply(connection, "runs_run", RUNS, "status = 'completed'")


def multiply(
    connection: psycopg.Connection[tuple[object, ...]], table: str, counted: dict[str, str], template: str
) -> None:
    """Copies a row of `table` for which `template` is true a million times, but for the columns that are `counted`."""
    found = connection.execute(f"SELECT * FROM {table} LIMIT 0").description or []
    names = [column.name for column in found]
    values = [_value(name, counted) for name in names]
    query = sql.SQL(
        "WITH chosen AS (SELECT id FROM agents_agent ORDER BY id LIMIT {agents}),"
        " template AS (SELECT * FROM {table} WHERE {condition} LIMIT 1)"
        " INSERT INTO {table} ({columns}) SELECT {values} FROM template, generate_series(1, {rows}) AS n"
    ).format(
        agents=sql.Literal(AGENTS),
        table=sql.Identifier(table),
        condition=sql.SQL(template),
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join(values),
        rows=sql.Literal(ROWS),
    )
    connection.execute(query)
    connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))


def _value(name: str, counted: dict[str, str]) -> sql.Composable:
    if name in counted:
        return sql.SQL(counted[name].format(rows=ROWS, agents=AGENTS))
    return sql.Identifier("template", name)


async def export(platform: Platform, form: str = "csv", period: str = "") -> Export:
    """Downloads the ledger of 30 days, or of `period` (`&start=…`), as CSV or JSON Lines."""
    connection = await platform.connect()
    first_byte_ns = rows = 0

    def count(piece: bytes) -> None:
        nonlocal first_byte_ns, rows
        first_byte_ns = first_byte_ns or time.monotonic_ns()
        rows += piece.count(b"\n")

    with MemoryPeak(platform.pids) as memory:
        began_ns = time.monotonic_ns()
        await connection.request(
            "GET", f"{API}/billing/usage/export?format={form}{period}", sink=count, expect=200
        )
        lasted = (time.monotonic_ns() - began_ns) / 1e9
    connection.close()
    rows -= form == "csv"
    return Export(rows, (first_byte_ns - began_ns) / 1e6, rows / lasted, memory.peak - memory.before)


async def first_page(platform: Platform, status: str) -> Page:
    """The newest 20 runs with this status of the agent that has the newest run."""
    connection = await platform.connect()
    runs = (await connection.request("GET", f"{API}/runs?limit=1", expect=200)).json()
    path = f"/runs?agent_id={runs['items'][0]['agent_id']}&status={status}"
    p50, p95 = await read_latencies(connection, path, PAGES)
    connection.close()
    return Page(p50, p95)
