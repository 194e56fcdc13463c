"""The bars: what may grow by how much in a soak, and whether it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.soak.recording import Recording, mean
from bench.soak.slope import line

# Per minute. Memory is what the soak is about. The others have no reason to grow at all; the tolerance is what their
# scatter makes of a level line within a quarter of an hour.
MEMORY_MB = 1.0
CONNECTIONS = 0.5
DESCRIPTORS = 0.5
EVENT_LAG_MS = {"p50": 1.0, "p95": 5.0}
QUEUE_WAIT_MS = {"p50": 1.0, "p95": 5.0}
ROLLUP_LAG_SECONDS = 0.05
# A pool has a few more or fewer at any moment.
MORE_AT_THE_END = {"connections": 4.0, "connections Redis": 4.0, "descriptors": 12.0, "threads": 4.0}
# What the last and the first minute that is judged are compared over.
END_SECONDS = 60.0

NOTHING_OF = (
    "works that failed",
    "runs that failed",
    "runs that did not end",
    "runs that are missing or were begun twice",
    "events lost, doubled or out of order",
    "runs whose stored events have a hole",
    "runs whose webhook message is missing",
    "groups of the ledger that differ",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: at the warm-up's end and at the end, its slope per minute with the standard error, and its bar.

    `holds` is None where nothing is asked of it.
    """

    label: str
    unit: str
    first: float
    last: float
    slope: float | None = None
    error: float = 0.0
    bar: str = ""
    holds: bool | None = None


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    rows: list[Row]


def holds(sections: list[Section]) -> bool:
    return all(row.holds is not False for section in sections for row in section.rows)


def judge(recording: Recording) -> list[Section]:
    return [
        Section("Memory", list(_memory(recording))),
        Section("Connections, descriptors, threads", list(_held(recording))),
        Section("Lags", list(_lags(recording))),
        Section("Latency and processors", list(_shown(recording))),
        Section("What went wrong", list(_counts(recording))),
    ]


def _memory(recording: Recording) -> Iterator[Row]:
    for name in recording.named("memory "):
        # PostgreSQL fills its shared buffers as its tables grow.
        yield _row(recording, name, "MB", None if name == "memory PostgreSQL" else MEMORY_MB)


def _held(recording: Recording) -> Iterator[Row]:
    for name in ("connections", "connections Redis"):
        if name in recording.series:
            yield _row(recording, name, "", CONNECTIONS, MORE_AT_THE_END[name])
    yield _row(recording, "connections idle in transaction", "", CONNECTIONS)
    yield _row(recording, "oldest transaction", "s", ROLLUP_LAG_SECONDS)
    for kind in ("descriptors", "threads"):
        for name in recording.named(f"{kind} "):
            yield _row(recording, name, "", DESCRIPTORS, MORE_AT_THE_END[kind])


def _lags(recording: Recording) -> Iterator[Row]:
    for percent, most in EVENT_LAG_MS.items():
        yield _row(recording, f"event lag {percent}", "ms", most)
    for percent, most in QUEUE_WAIT_MS.items():
        yield _row(recording, f"queue wait {percent}", "ms", most)
    yield _row(recording, "queue depth", "", CONNECTIONS)
    yield _row(recording, "roll-up lag", "s", ROLLUP_LAG_SECONDS)
    yield _row(recording, "works under way", "", DESCRIPTORS)


def _shown(recording: Recording) -> Iterator[Row]:
    for name in recording.named("latency "):
        yield _row(recording, name, "ms", None)
    for name in recording.named("processor "):
        yield _row(recording, name, "% of one", None)


def _counts(recording: Recording) -> Iterator[Row]:
    for name in NOTHING_OF:
        count = recording.counts[name]
        yield Row(name, "", 0, count, bar="0", holds=count == 0)


def _row(recording: Recording, name: str, unit: str, most: float | None, more: float | None = None) -> Row:
    """`most` is asked of the slope, `more` of the difference between end and beginning."""
    points = recording.judged(name)
    if not points:
        return Row(name, unit, 0, 0)
    found = line(points)
    span = min(END_SECONDS, (recording.seconds - recording.warm_up) / 3)
    first = mean([value for at, value in points if at <= points[0][0] + span])
    last = mean([value for at, value in points if at >= points[-1][0] - span])
    bars, does_hold = [], True
    if most is not None:
        bars.append(f"< {most:g} {unit}/min".replace(" /", "/"))
        does_hold = found.per_minute < most
    if more is not None:
        bars.append(f"≤ {more:g} more")
        does_hold = does_hold and last - first <= more
    return Row(
        name, unit, first, last, found.per_minute, found.error, ", ".join(bars), does_hold if bars else None
    )
