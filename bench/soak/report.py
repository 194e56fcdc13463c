"""The table of a soak, as text and as a page of the docs."""

from __future__ import annotations

from bench.report import shorten
from bench.soak.recording import Recording
from bench.soak.verdict import Row, Section, holds

HEADINGS = ("after warm-up", "at the end", "slope per minute", "bar")
LABEL_WIDTH = 46
CELL_WIDTH = 18


def text(recording: Recording, sections: list[Section]) -> str:
    lines = [title(recording), "", *(f"{name}: {value}" for name, value in recording.about.items())]
    lines += ["", _line("", list(HEADINGS))]
    for section in sections:
        lines += ["", section.title]
        lines += [_line(f"  {_label(row)}", _cells(row)) for row in section.rows]
    return "\n".join([*lines, "", conclusion(sections)])


def markdown(recording: Recording, sections: list[Section], picture: str) -> str:
    """A page for the docs; `picture` is the plots' address beside it."""
    lines = [
        "# Soak",
        "",
        "Written by `make bench-soak BENCH_ARGS='--write docs'`; do not edit. What it does and how it judges is in"
        " [performance](performance.md#a-soak).",
        "",
        *(f"- {name}: {value}" for name, value in recording.about.items()),
        "",
        f"**{conclusion(sections)}**",
        "",
        f"![Memory, connections, lags and latency over time]({picture})",
    ]
    for section in sections:
        lines += ["", f"## {section.title}", ""]
        lines += [f"| | {' | '.join(HEADINGS)} |", "|---|--:|--:|--:|---|"]
        lines += [f"| {_label(row)} | {' | '.join(_cells(row))} |" for row in section.rows]
    return "\n".join(lines) + "\n"


def title(recording: Recording) -> str:
    return f"agentplatform soak, {recording.seconds / 60:g} minutes, judged after {recording.warm_up / 60:g}"


def conclusion(sections: list[Section]) -> str:
    if holds(sections):
        return "All bars hold."
    missed = [row.label for section in sections for row in section.rows if row.holds is False]
    return f"Missed: {', '.join(missed)}."


def _label(row: Row) -> str:
    return f"{row.label}, {row.unit}" if row.unit else row.label


def _cells(row: Row) -> list[str]:
    verdict = {True: f"{row.bar} yes", False: f"{row.bar} NO", None: ""}[row.holds]
    if row.slope is None:
        return ["", shorten(row.last), "", verdict]
    slope = f"{row.slope:+.2f} ± {row.error:.2f}"
    return [shorten(row.first), shorten(row.last), slope, verdict]


def _line(label: str, cells: list[str]) -> str:
    *numbers, last = cells
    return (
        label.ljust(LABEL_WIDTH) + "".join(cell.rjust(CELL_WIDTH) for cell in numbers) + f"   {last}"
    ).rstrip()
