"""The one table: a row per figure, a column per way of running, and whether a bar is reached."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

COMPARISONS: dict[str, Callable[[float, float], bool]] = {"≥": operator.ge, "≤": operator.le}
HEADINGS = ("one process", "web + worker", "bare loop", "ratio", "bar")
LABEL_WIDTH = 58
CELL_WIDTH = 13


@dataclass(frozen=True, slots=True)
class Bar:
    """What has to be reached by the first figure, or by its ratio to the bare loop."""

    comparison: str
    value: float
    of_ratio: bool = False

    def verdict(self, value: float, ratio: float | None) -> str:
        measured = ratio if self.of_ratio and ratio is not None else value
        is_reached = COMPARISONS[self.comparison](measured, self.value)
        shown = f"{self.value:.0%}" if self.of_ratio else shorten(self.value)
        return f"{self.comparison} {shown} {'yes' if is_reached else 'NO'}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: in one process, with a worker apart, in the bare loop; None where it was not measured."""

    label: str
    one: float | None = None
    two: float | None = None
    limit: float | None = None
    bar: Bar | None = None

    @property
    def ratio(self) -> float | None:
        return self.one / self.limit if self.one is not None and self.limit else None

    def cells(self) -> list[str]:
        ratio = "" if self.ratio is None else f"{self.ratio:.0%}"
        judged = self.two if self.one is None else self.one
        bar = self.bar.verdict(judged, self.ratio) if self.bar and judged is not None else ""
        return [*map(shorten, (self.one, self.two, self.limit)), ratio, bar]


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    rows: list[Row]


def shorten(value: float | None) -> str:
    """Three digits that say something, thousands apart."""
    if value is None:
        return ""
    if value and abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def table(title: str, sections: list[Section]) -> str:
    lines = [title, "", _line("", list(HEADINGS))]
    for section in sections:
        lines += ["", section.title]
        lines += [_line(f"  {row.label}", row.cells()) for row in section.rows]
    return "\n".join(lines)


def _line(label: str, cells: list[str]) -> str:
    *numbers, last = cells
    return (
        label.ljust(LABEL_WIDTH) + "".join(cell.rjust(CELL_WIDTH) for cell in numbers) + f"   {last}"
    ).rstrip()
