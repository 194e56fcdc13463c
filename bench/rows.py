"""The table's rows, made of the figures. The bars are those that a 2-core machine has to reach."""

from __future__ import annotations

from collections.abc import Callable

from bench.measures import AT_ONCE, COUNTED_RUNS, MEGABYTE, STREAMS, Figures, Limits
from bench.processes import Cost
from bench.report import Bar, Row, Section
from bench.scale import ROWS
from bench.workflows import ITEMS, NODES, SHORT, WorkflowFigures

HALF_OF_THE_LIMIT = Bar("≥", 0.5, of_ratio=True)
NOTHING = Bar("≤", 0)
COMPARED_AT_ONCE = 16
FIRST_EVENT_MS = Bar("≤", 25)
CPU_MS = {16: Bar("≤", 20), 64: Bar("≤", 20)}
DELAY_MS = {50: Bar("≤", 150)}
TOKENS_PER_SECOND = {200: Bar("≥", 3000)}
START_SECONDS = Bar("≤", 4)
MEMORY_MB = Bar("≤", 200)
STANDSTILL_SECONDS = Bar("≤", 5)
VALIDATION_MS = Bar("≤", 1_000)

Pick = Callable[[Figures], float]


class Sections:
    """What was measured of one process, and of web and worker apart where there was a Redis."""

    def __init__(self, one: Figures, two: Figures | None, limits: Limits) -> None:
        self._one, self._two, self._limits = one, two, limits

    def all(self) -> list[Section]:
        sections = [self._runs(), self._cpu(), self._streams(), self._reads(), self._start(), self._memory()]
        sections.append(workflow_section(self._limits.workflows))
        if self._two:
            sections.append(take_over_section(self._two))
        if self._one.export:
            sections.append(scale_section(self._one))
            sections.append(admin_section(self._one))
        return sections

    def _row(self, label: str, pick: Pick, limit: float | None = None, bar: Bar | None = None) -> Row:
        return Row(label, pick(self._one), pick(self._two) if self._two else None, limit, bar)

    def _runs(self) -> Section:
        rows = [row for at_once in AT_ONCE for row in self._runs_at(at_once)]
        faulty = self._row(
            "runs that failed, lost or doubled something",
            lambda figures: sum(measured.faulty for measured in figures.throughput.values()),
            bar=NOTHING,
        )
        return Section("Durable runs, streamed, 20 tokens", [*rows, faulty])

    def _runs_at(self, at_once: int) -> list[Row]:
        bare = self._limits.text[at_once]
        bar = HALF_OF_THE_LIMIT if at_once > 1 else None
        rate = self._row(
            f"{at_once} at once: runs/s",
            lambda figures: figures.throughput[at_once].runs_per_second,
            bare.runs_per_second,
            bar,
        )
        beside_stock = self._row(
            f"{at_once} at once: runs/s, limit with LangChain's client",
            lambda figures: figures.throughput[at_once].runs_per_second,
            self._limits.stock[at_once].runs_per_second,
            bar,
        )
        p50 = self._row(
            f"{at_once} at once: latency p50, ms", lambda figures: figures.throughput[at_once].p50, bare.p50
        )
        p95 = self._row(
            f"{at_once} at once: latency p95, ms", lambda figures: figures.throughput[at_once].p95, bare.p95
        )
        return [rate, beside_stock, p50, p95]

    def _cpu(self) -> Section:
        rows = [self._platform_cpu(at_once) for at_once in AT_ONCE]
        return Section("Processor time per run, ms", rows + self._other_cpu())

    def _platform_cpu(self, at_once: int) -> Row:
        return self._row(
            f"{at_once} at once: platform",
            lambda figures: figures.throughput[at_once].platform_cpu_ms,
            self._limits.text[at_once].cpu_ms,
            CPU_MS.get(at_once),
        )

    def _other_cpu(self) -> list[Row]:
        at_once = COMPARED_AT_ONCE
        return [
            self._row(
                f"{at_once} at once: PostgreSQL", lambda figures: figures.throughput[at_once].database_cpu_ms
            ),
            self._row(
                f"{at_once} at once: model endpoint",
                lambda figures: figures.throughput[at_once].endpoint_cpu_ms,
            ),
            self._row(
                f"{at_once} at once: client", lambda figures: figures.throughput[at_once].client_cpu_ms
            ),
        ]

    def _streams(self) -> Section:
        lone = [
            self._row(
                "first event p50, ms", lambda figures: figures.first_event.event_p50, bar=FIRST_EVENT_MS
            ),
            self._row("first event p95, ms", lambda figures: figures.first_event.event_p95),
            self._row("first token p50, ms", lambda figures: figures.first_event.token_p50),
            self._row("first token p95, ms", lambda figures: figures.first_event.token_p95),
        ]
        rows = [row for count in STREAMS for row in self._tokens(count)]
        return Section("A lone stream, and streams of 100 tokens, 20 ms apart", lone + rows)

    def _tokens(self, count: int) -> list[Row]:
        bare = self._limits.paced[count]
        name = f"{count} streams" if count > 1 else "1 stream"
        rate = self._row(
            f"{name}: tokens/s",
            lambda figures: figures.tokens[count].tokens_per_second,
            bare.tokens_per_second,
            TOKENS_PER_SECOND.get(count),
        )
        p50 = self._row(
            f"{name}: added latency p50, ms",
            lambda figures: figures.tokens[count].delay_p50,
            bare.delay_p50,
        )
        p95 = self._row(
            f"{name}: added latency p95, ms",
            lambda figures: figures.tokens[count].delay_p95,
            bare.delay_p95,
            DELAY_MS.get(count),
        )
        faults = self._row(
            f"{name}: lost or doubled", lambda figures: figures.tokens[count].faults, bar=NOTHING
        )
        return [rate, p50, p95, faults]

    def _reads(self) -> Section:
        rows = [
            Row("an agent", self._one.agent_reads),
            Row("a list of 20 in 1,000 agents", self._one.list_reads),
        ]
        return Section("Reads per second, 16 at once", rows)

    def _start(self) -> Section:
        rows = [
            self._row("empty folder", lambda figures: figures.first_start, bar=START_SECONDS),
            self._row("existing data", lambda figures: figures.second_start, bar=START_SECONDS),
        ]
        return Section("Start to healthy, s", rows)

    def _memory(self) -> Section:
        rows = [
            *self._memory_at("idle", lambda figures: figures.idle),
            *self._memory_at(f"after {COUNTED_RUNS:,} runs", lambda figures: figures.after_runs),
            *self._memory_at("after all that and 1,000 more", lambda figures: figures.after_twice),
        ]
        return Section("Memory (PSS), MB", rows)

    def _memory_at(self, moment: str, pick: Callable[[Figures], Cost]) -> list[Row]:
        return [
            self._row(f"{moment}: platform", lambda figures: pick(figures).memory / MEGABYTE, bar=MEMORY_MB),
            self._row(f"{moment}: PostgreSQL", lambda figures: pick(figures).database_memory / MEGABYTE),
        ]


def workflow_section(figures: WorkflowFigures) -> Section:
    rows = [
        Row(f"validation of {NODES:,} nodes", figures.validation, bar=VALIDATION_MS),
        Row(f"compilation of {NODES:,} nodes, once for a version", figures.compilation),
        Row(
            f"a run of {SHORT} nodes; the same by hand in the bare loop", figures.run, limit=figures.bare_run
        ),
        Row("an expression, with the state made ready", figures.small_expression),
        Row(f"an expression beside a list of {ITEMS:,} items", figures.expression),
    ]
    return Section("Workflows in memory, ms", rows)


def take_over_section(two: Figures) -> Section:
    assert two.standby
    assert two.restarted
    lost = float(two.standby.lost + two.restarted.lost)
    rows = [
        Row("another worker is there: the last run", two=two.standby.slowest, bar=STANDSTILL_SECONDS),
        Row(
            "another worker is started then: the last run",
            two=two.restarted.slowest,
            bar=STANDSTILL_SECONDS,
        ),
        Row("runs that never came to their end", two=lost, bar=NOTHING),
    ]
    return Section("A killed worker's runs go on after, s", rows)


def scale_section(figures: Figures) -> Section:
    export, completed, failed = figures.export, figures.page_completed, figures.page_failed
    lines = figures.export_of_lines
    assert export
    assert lines
    assert completed
    assert failed
    rows = [
        Row("CSV export: rows/s", export.rows_per_second, bar=Bar("≥", 100_000)),
        Row("CSV export: first byte, ms", export.first_byte_ms, bar=Bar("≤", 200)),
        Row("CSV export: growth of the platform's memory, MB", export.growth / MEGABYTE, bar=Bar("≤", 50)),
        Row("CSV export: rows", float(export.rows), bar=Bar("≥", ROWS)),
        Row("JSON Lines export: rows/s", lines.rows_per_second, bar=Bar("≥", 100_000)),
        Row(
            "JSON Lines export: growth of the platform's memory, MB",
            lines.growth / MEGABYTE,
            bar=Bar("≤", 50),
        ),
        Row("first page of an agent's completed runs p50, ms", completed.p50),
        Row("first page of an agent's completed runs p95, ms", completed.p95, bar=Bar("≤", 50)),
        Row("first page of an agent's failed runs p50, ms", failed.p50),
        Row("first page of an agent's failed runs p95, ms", failed.p95, bar=Bar("≤", 50)),
    ]
    return Section("At 1,000,000 usage records and 1,000,000 runs", rows)


def admin_section(figures: Figures) -> Section:
    """What each page of the admin's lists takes; the bar is for each of them."""
    rows = []
    for visit in figures.admin_lists:
        rows.append(Row(f"{visit.role}, {visit.label} p50", visit.p50))
        rows.append(Row(f"{visit.role}, {visit.label} p95", visit.p95, bar=Bar("≤", 200)))
    return Section("Lists of the admin at 1,000,000 rows each, ms", rows)
