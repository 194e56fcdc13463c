"""What a soak has seen: series over time and counts. It can be stored, and judged and drawn again later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import orjson

from bench.statistics import percentile

Point = tuple[float, float]


@dataclass(slots=True)
class Recording:
    """`series` by name: (seconds since the load began, value). `about`: machine, versions, load.

    What was seen before `warm_up` (seconds) is drawn and not judged. `counts` by what was counted.
    """

    about: dict[str, str]
    seconds: float
    warm_up: float
    series: dict[str, list[Point]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, at: float, value: float) -> None:
        self.series.setdefault(name, []).append((at, value))

    def judged(self, name: str) -> list[Point]:
        """What a series has from the warm-up's end to the end of the load."""
        return [point for point in self.series.get(name, []) if self.warm_up <= point[0] <= self.seconds]

    def named(self, beginning: str) -> list[str]:
        """The names of series that begin so, in their order."""
        return [name for name in self.series if name.startswith(beginning)]

    def store(self, path: Path) -> None:
        path.write_bytes(orjson.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Self:
        stored = orjson.loads(path.read_bytes())
        series = {name: [(at, value) for at, value in points] for name, points in stored["series"].items()}
        return cls(**{**stored, "series": series})


def window_of(seconds: float) -> float:
    """How many seconds share a point of a percentile: a minute, less in a short soak."""
    return min(60.0, max(1.0, seconds / 12))


def percentiles(points: Iterable[Point], seconds: float, percent: float) -> list[Point]:
    """The percentile of each window, at its middle; windows without values have no point."""
    window = window_of(seconds)
    values: dict[int, list[float]] = {}
    for at, value in points:
        if at < seconds:
            values.setdefault(int(at // window), []).append(value)
    return [((number + 0.5) * window, percentile(values[number], percent)) for number in sorted(values)]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
