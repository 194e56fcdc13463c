"""Queries of usage over a year of ten million calls, and how fast roll-ups follow. `python -m bench.ledger`."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlencode

import psycopg
from psycopg import sql

from agentplatform.database import embedded_url
from bench import loop
from bench.measures import MEGABYTE, say
from bench.platform import API, PROJECT, Platform
from bench.reads import read_latencies
from bench.report import Bar, Row, Section, table
from bench.rows import NOTHING
from bench.scale import export
from bench.statistics import percentile

ROWS = 10_000_000
TIMES = 40
SLOW_MS, TIMES_OF_SLOW = 250, 10
QUERY_MS = Bar("≤", 50)
BEHIND_SECONDS = Bar("≤", 5)
EXPORTED_PER_SECOND = Bar("≥", 100_000)
GROWTH_MB = Bar("≤", 50)
BURST = 200_000
STEADY_SECONDS = 20.0
STEADY_ROWS = 100
STEADY_PAUSE = 0.1

# A year's calls of 2,000 users (some much busier than others) with 500 keys, 50 agents, 20 models, 10 workflows and
# 24 tags; sessions of about seven calls. `n` counts them in order of time.
NAMES = """
    INSERT INTO billing_ledgername (id, workspace_id, kind, user_id, name)
    SELECT {id_of_name}, workspace.id, 'user', {user_id}, 'user-' || number
    FROM accounts_workspace workspace, generate_series(0, 1999) number WHERE slug = 'demo'
    UNION ALL SELECT {id_of_key_name}, workspace.id, 'api_key', {user_id}, 'key-' || number
    FROM accounts_workspace workspace, generate_series(0, 499) number WHERE slug = 'demo'
    ON CONFLICT DO NOTHING
"""
CALLS = """
    INSERT INTO billing_usagerecord (
        id, workspace_id, timestamp, recorded_at, entry, status, call_id, run_id, attempt, step, session_id, agent_id,
        agent, workflow_id, workflow, tags, user_id, "user", end_user, api_key_id, api_key, user_name_id,
        api_key_name_id,
        provider, model, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, requests,
        input_price, output_price, cost, currency, price_version
    )
    SELECT uuidv7(at - now()), workspace.id, at, at, 'settled',
        CASE WHEN luck < 0.96 THEN 'ok' WHEN luck < 0.98 THEN 'failed' WHEN luck < 0.99 THEN 'cancelled'
            ELSE 'unknown' END,
        gen_random_uuid(), gen_random_uuid(), 1, 1,
        CASE WHEN session % 10 > 0 THEN md5('session' || session)::uuid END, md5('agent' || agent)::uuid,
        'agent-' || agent, CASE WHEN agent % 3 = 0 THEN md5('workflow' || agent % 10)::uuid END,
        CASE WHEN agent % 3 = 0 THEN 'workflow-' || agent % 10 ELSE '' END,
        CASE WHEN luck < 0.2 THEN '{{}}' WHEN luck < 0.6 THEN ARRAY['team-' || agent % 20]
            ELSE ARRAY['team-' || agent % 20, 'stage-' || floor(luck * 40)::int % 4] END,
        {user_id}, '', '', CASE WHEN number % 5 < 2 THEN md5('key' || number % 500)::uuid END, '', {id_of_name},
        CASE WHEN number % 5 < 2 THEN {id_of_key} END,
        CASE WHEN model % 2 = 0 THEN 'openai' ELSE 'anthropic' END, 'model-' || model,
        100 + n % 5000, n % 100, 0, 10 + n % 900, n % 10, 1, 0.00000015, 0.0000006,
        CASE WHEN luck > 0.02 THEN (0.00000015 * (100 + n % 5000) + 0.0000006 * (10 + n % 900))::numeric(24, 12) END,
        'USD', 'bench'
    FROM accounts_workspace workspace, LATERAL (
        SELECT n, at, session, number, agent, luck,
            (agent + CASE WHEN random() < 0.8 THEN 0 ELSE 1 END) % 20 AS model
        FROM (
            SELECT n, at, session, number, random() AS luck,
                CASE WHEN random() < 0.15 THEN floor(50 * random() ^ 2)::int
                ELSE (number * 13 + floor(random() * 4)::int) % 50 END AS agent
            FROM (
                SELECT n, {at} AS at, session, floor(2000 * (abs(hashint4(session)::bigint) / 2147483648.0) ^ 2)::int
                    AS number
                FROM (SELECT n, n / 7 - floor(random() * 50)::int AS session
                    FROM generate_series({first}, {last}) n) counted
            ) called
        ) chosen
    ) made WHERE slug = 'demo'
"""
VALUES = {
    "user_id": "md5('user' || number)::uuid",
    "id_of_name": "md5('name' || number)::uuid",
    "id_of_key_name": "md5('key name' || number)::uuid",
    "id_of_key": "md5('key name' || number % 500)::uuid",
}
NOW = datetime.datetime.now(datetime.UTC)
YEAR = {"start": (NOW - datetime.timedelta(days=365)).isoformat(), "end": NOW.isoformat()}
QUARTER = {**YEAR, "start": (NOW - datetime.timedelta(days=91, hours=5, minutes=7)).isoformat()}
MONTH = {"start": (NOW - datetime.timedelta(days=30)).isoformat(), "end": NOW.isoformat()}
STAGES = {
    "queries": "Queries at {rows:,} calls",
    "exports": "Export of {rows:,} calls",
    "reconcile": "Reconciliation",
    "steady": "Under a steady load",
    "burst": "After a burst",
}
DIMENSIONS = ("agent", "provider", "model", "workflow", "user", "api_key", "tag", "session", "status")
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata")
FILTERS = {
    "agent": "agent-1",
    "model": "model-3",
    "user": "user-1",
    "api_key": "key-5",
    "workflow": "workflow-3",
    "tag": "team-3",
    "status": "failed",
}


def queries() -> dict[str, str]:
    """Paths by what they ask for."""
    asked: dict[str, tuple[str, dict[str, str]]] = {}
    for name, period in (("year", YEAR), ("91 days", QUARTER), ("30 days", MONTH)):
        asked[f"usage, {name}"] = ("usage", period)
        asked[f"agent-breakdown, {name}"] = ("agent-breakdown", period)
        for by in (*DIMENSIONS, "agent,model", "user,model", "user,agent"):
            asked[f"by {by}, {name}"] = ("usage/breakdown", {**period, "by": by, "ordering": "-cost"})
    for zone in ZONES:
        for granularity in ("day", "week", "month"):
            query = {**YEAR, "granularity": granularity, "tz": zone}
            asked[f"history by {granularity}, year, {zone}"] = ("usage/history", query)
        query = {**YEAR, "granularity": "day", "tz": zone}
        for group in ("agent", "model", "user"):
            asked[f"history by day and {group}, year, {zone}"] = (
                "usage/history",
                {**query, "group_by": group},
            )
        hourly = {**MONTH, "granularity": "hour", "tz": zone}
        asked[f"history by hour, 30 days, {zone}"] = ("usage/history", hourly)
        asked[f"history by hour and agent, 30 days, {zone}"] = (
            "usage/history",
            {**hourly, "group_by": "agent"},
        )
    for name, value in FILTERS.items():
        asked[f"usage of one {name}, year"] = ("usage", {**YEAR, name: value})
        asked[f"history by day of one {name}, year, Asia/Kolkata"] = (
            "usage/history",
            {**YEAR, name: value, "granularity": "day", "tz": "Asia/Kolkata"},
        )
    asked["by user of one agent, year"] = ("usage/breakdown", {**YEAR, "by": "user", "agent": "agent-1"})
    asked["by model of one user, year"] = ("usage/breakdown", {**YEAR, "by": "model", "user": "user-1"})
    asked["by session of one user, year"] = ("usage/breakdown", {**YEAR, "by": "session", "user": "user-1"})
    asked["by agent of one user with status, year"] = (
        "usage/breakdown",
        {**YEAR, "by": "agent", "user": "user-1", "status": "failed"},
    )
    return {name: f"/billing/{path}?{urlencode(query)}" for name, (path, query) in asked.items()}


class Ledger:
    """The platform's database, filled and watched from beside it."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._connection = psycopg.connect(embedded_url(platform.data_dir), autocommit=True)

    def load(self, rows: int) -> float:
        """Loads `rows` calls as if they were sealed already; the seconds that it took."""
        began = time.monotonic()
        self._connection.execute("SET session_replication_role = replica")
        self._connection.execute("ALTER SYSTEM SET max_wal_size = '8GB'")
        self._connection.execute("SELECT pg_reload_conf()")
        indexes = self._connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'billing_usagerecord'"
            " AND indexname NOT LIKE '%_pkey'"
        ).fetchall()
        for name, _ in indexes:
            self._connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        self._run(NAMES)
        step = 500_000
        at = f"now() - interval '1 year' + n * (interval '1 year' / {rows})"
        for first in range(1, rows + 1, step):
            self._run(CALLS, at=at, first=str(first), last=str(min(first + step - 1, rows)))
        self._connection.execute("SET maintenance_work_mem = '512MB'")
        for _, definition in indexes:
            self._connection.execute(definition.encode())
        self._connection.execute("SET session_replication_role = origin")
        self._connection.execute("VACUUM ANALYZE billing_usagerecord")
        return time.monotonic() - began

    def is_empty(self) -> bool:
        found = self._connection.execute("SELECT FROM billing_usagelifetime LIMIT 1").fetchone()
        return found is None

    def rebuild(self) -> float:
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "manage.py", "rebuild_rollups", "--workspace", "demo"],
            cwd=PROJECT,
            env=self._platform.environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.monotonic() - began
        for name in ("billing_usagerollup", "billing_usagegroup", "billing_usagelifetime"):
            self._connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(name)))
        return seconds

    def reconcile(self) -> tuple[float, int]:
        """The seconds that it took, and how many groups differ on any road."""
        began = time.monotonic()
        found = subprocess.run(
            [sys.executable, "manage.py", "reconcile", "--workspace", "demo", "--json"],
            cwd=PROJECT,
            env=self._platform.environment,
            check=False,
            capture_output=True,
        )
        findings = [json.loads(line) for line in found.stdout.splitlines()]
        if not findings:
            raise RuntimeError(found.stderr.decode())
        return time.monotonic() - began, sum(one["differing"] for one in findings)

    def append(self, rows: int) -> None:
        """Calls that have just ended, through all triggers."""
        self._run(CALLS, at="clock_timestamp()", first="1", last=str(rows))

    def waiting(self) -> tuple[int, float]:
        """How many entries wait for their seal, and since when the longest, in seconds."""
        found = self._connection.execute(
            "SELECT count(*), COALESCE(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float"
            " FROM billing_unsealedusage JOIN billing_usagerecord ON id = record_id"
        ).fetchone()
        assert found
        return found[0], found[1]

    def sizes(self) -> dict[str, float]:
        found = self._connection.execute(
            "SELECT relname, pg_total_relation_size(oid) / 1e6::float, reltuples FROM pg_class"
            " WHERE relname IN ('billing_usagerecord', 'billing_usagerollup', 'billing_usagegroup')"
        ).fetchall()
        sizes = {f"{name}: MB": float(size) for name, size, _ in found}
        return sizes | {f"{name}: rows": float(count) for name, _, count in found}

    def _run(self, statement: str, **values: str) -> None:
        self._connection.execute(statement.format(**VALUES, **values).encode())


async def _latencies(platform: Platform, only: str) -> list[Row]:
    measured: list[tuple[str, float, float]] = []
    connection = await platform.connect()
    for name, path in queries().items():
        if only not in name:
            continue
        _, slowest = await read_latencies(connection, path, 3)
        p50, p95 = await read_latencies(connection, path, TIMES if slowest < SLOW_MS else TIMES_OF_SLOW)
        say(f"{name}: {p50:.1f} ms, {p95:.1f} ms")
        measured.append((name, p50, p95))
    connection.close()
    return [
        row
        for name, p50, p95 in measured
        for row in (Row(f"{name}: p50, ms", p50), Row(f"{name}: p95, ms", p95, bar=QUERY_MS))
    ]


async def _steady(ledger: Ledger, platform: Platform) -> list[Row]:
    """A thousand calls a second, while somebody looks."""
    connection = await platform.connect()
    until = time.monotonic() + STEADY_SECONDS
    behind, latencies, rows = [0.0], [], 0
    path = queries()["usage, year"]
    while time.monotonic() < until:
        await asyncio.to_thread(ledger.append, STEADY_ROWS)
        rows += STEADY_ROWS
        behind.append((await asyncio.to_thread(ledger.waiting))[1])
        began = time.monotonic()
        await connection.request("GET", f"{API}{path}", expect=200)
        latencies.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(STEADY_PAUSE)
    connection.close()
    return [
        Row("appended rows/s", rows / STEADY_SECONDS),
        Row("roll-ups behind at most, s", max(behind), bar=BEHIND_SECONDS),
        Row("usage of the year meanwhile p95, ms", percentile(latencies, 95), bar=QUERY_MS),
    ]


async def _burst(ledger: Ledger) -> list[Row]:
    """Many calls at once, and how long they take to be sealed and rolled up."""
    await asyncio.to_thread(ledger.append, BURST)
    began, (first, _) = time.monotonic(), ledger.waiting()
    left = first
    while left:
        await asyncio.sleep(0.25)
        left, _ = await asyncio.to_thread(ledger.waiting)
    return [Row("sealed and rolled up, rows/s", first / (time.monotonic() - began))]


async def _exports(platform: Platform) -> list[Row]:
    """The whole ledger, streamed."""
    period = f"&{urlencode(YEAR)}"
    rows = []
    for form in ("csv", "jsonl"):
        found = await export(platform, form, period)
        say(f"{form}: {found.rows:,} rows, {found.rows_per_second:,.0f} rows/s")
        rows += [
            Row(f"{form}: rows", float(found.rows)),
            Row(f"{form}: rows/s", found.rows_per_second, bar=EXPORTED_PER_SECOND),
            Row(f"{form}: first byte, ms", found.first_byte_ms),
            Row(f"{form}: growth of the platform's memory, MB", found.growth / MEGABYTE, bar=GROWTH_MB),
        ]
    return rows


async def _reconciled(ledger: Ledger) -> list[Row]:
    seconds, differing = await asyncio.to_thread(ledger.reconcile)
    return [Row("seconds", seconds), Row("groups that differ", float(differing), bar=NOTHING)]


async def measured(rows: int, data_dir: Path | None, stages: Sequence[str], only: str) -> list[Section]:
    async with Platform(data_dir=data_dir) as platform:
        await platform.start()
        ledger = Ledger(platform)
        filled = await asyncio.to_thread(_filled, ledger, rows)
        makers: dict[str, Callable[[], Awaitable[list[Row]]]] = {
            "queries": lambda: _latencies(platform, only),
            "exports": lambda: _exports(platform),
            "reconcile": lambda: _reconciled(ledger),
            "steady": lambda: _steady(ledger, platform),
            "burst": lambda: _burst(ledger),
        }
        sections = [Section("Filling", filled)]
        for stage in stages:
            say(f"{stage} …")
            sections.append(Section(STAGES[stage].format(rows=rows), await makers[stage]()))
    return sections


def _filled(ledger: Ledger, rows: int) -> list[Row]:
    """Fills it, unless it is filled already; what that took, and how large it is."""
    measured = []
    if ledger.is_empty():
        say(f"loading {rows:,} rows")
        measured += [Row("loading, s", ledger.load(rows))]
        say("rolling them up")
        measured += [Row("rebuild_rollups, rows/s", rows / ledger.rebuild())]
    return measured + [Row(name, value) for name, value in ledger.sizes().items()]


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.ledger", description="Measures queries of usage.")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument(
        "--data-dir", type=Path, help="keep the ledger here, and measure it again if it is here already"
    )
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument(
        "--only", default="", metavar="WORDS", help="of the queries, those whose name has this"
    )
    arguments = parser.parse_args()
    sections = loop.run(measured(arguments.rows, arguments.data_dir, arguments.stages, arguments.only))
    print(table(f"Usage at {arguments.rows:,} calls", sections))


if __name__ == "__main__":
    main()
