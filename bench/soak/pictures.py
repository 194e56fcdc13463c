"""A recording as one SVG of small plots over the same minutes, with the look of the platform's own plots.

The warm-up is shaded. Where a slope is judged, its line is drawn dashed over what it is the slope of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from agentplatform.lib import plots
from bench.soak.recording import Point, Recording
from bench.soak.slope import line

# Pixels.
PLOT_WIDTH, PLOT_HEIGHT = 470, 236
GAP, MARGIN, HEAD = 20, 14, 62
TOP, BOTTOM, LEFT, RIGHT = 62, 34, 46, 22
COLUMNS = 2
WIDTH = MARGIN * 2 + PLOT_WIDTH * COLUMNS + GAP * (COLUMNS - 1)
MINUTE = 60.0
MOST_TICKS = 6
KEY = "Shaded: the warm-up, which is not judged. Dashed: the least-squares line of the rest; the legend has its slope."
OWN_STYLE = """
.plot .warm { fill: var(--plot-ink); fill-opacity: .07; }
.plot .fit { stroke-width: 1.5; stroke-dasharray: 5 4; opacity: .75; }
.plot .thin { stroke-width: 1.4; }
.plot .small { font-size: 11px; }
"""


@dataclass(frozen=True, slots=True)
class Plot:
    """Series by their names in the recording and in the legend. `is_judged`: with their slopes after the warm-up."""

    title: str
    unit: str
    series: dict[str, str]
    is_judged: bool = False


def wanted(recording: Recording) -> list[Plot]:
    """The plots of what was recorded; those without any series are left out."""
    own = [name.removeprefix("descriptors ") for name in recording.named("descriptors ")]

    def of_processes(kind: str) -> dict[str, str]:
        return {f"{kind} {name}": name for name in own}

    def both(name: str) -> dict[str, str]:
        return {f"{name} p50": "p50", f"{name} p95": "p95"}

    asked = [
        Plot("Memory (PSS) of the platform", "MB", of_processes("memory"), is_judged=True),
        Plot(
            "Memory of PostgreSQL and Redis",
            "MB",
            {"memory PostgreSQL": "PostgreSQL", "memory Redis": "Redis"},
            is_judged=True,
        ),
        Plot(
            "Connections",
            "connections",
            {"connections": "PostgreSQL", "connections active": "active", "connections Redis": "Redis"},
            is_judged=True,
        ),
        Plot("File descriptors", "descriptors", of_processes("descriptors"), is_judged=True),
        Plot("Threads", "threads", of_processes("threads"), is_judged=True),
        Plot("Event lag, from its making to its follower", "ms", both("event lag"), is_judged=True),
        Plot("Wait for a worker", "ms", both("queue wait"), is_judged=True),
        Plot("Roll-ups behind the ledger", "s", {"roll-up lag": "oldest entry"}, is_judged=True),
        Plot("Latency of a streamed chat, 20 tokens in 95 ms", "ms", both("latency chat")),
        Plot("Latency of a read", "ms", both("latency read")),
        Plot(
            "Processors kept busy",
            "% of one",
            {"processor platform": "platform", "processor PostgreSQL": "PostgreSQL"},
        ),
        Plot("Works under way", "works", {"works under way": "begun and not ended"}, is_judged=True),
    ]
    known = recording.series
    for plot in asked:
        for name in [name for name in plot.series if not known.get(name)]:
            del plot.series[name]
    return [plot for plot in asked if plot.series]


def drawn(recording: Recording) -> str:
    """The whole picture, as a file of its own."""
    shown = wanted(recording)
    rows = -(-len(shown) // COLUMNS)
    height = HEAD + rows * PLOT_HEIGHT + (rows - 1) * GAP + MARGIN
    title = f"A soak of {recording.seconds / MINUTE:g} minutes: {recording.about['load']}"
    body = []
    for number, plot in enumerate(shown):
        row, column = divmod(number, COLUMNS)
        x, y = MARGIN + column * (PLOT_WIDTH + GAP), HEAD + row * (PLOT_HEIGHT + GAP)
        body.append(f'<g transform="translate({x} {y})">{"".join(_Drawing(plot, recording).parts())}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-size="12" font-family="sans-serif">'
        f"<title>{escape(title)}</title><desc>{escape(described(recording, shown))}</desc>"
        f"<style>{plots.stylesheet()}{OWN_STYLE}</style>"
        f'<rect class="paper" fill="#fff" width="{WIDTH}" height="{height}"/>'
        f"{_words(MARGIN, 24, title, 'strong')}{_words(MARGIN, 43, KEY, 'ink small')}{''.join(body)}</svg>"
    )


def described(recording: Recording, shown: list[Plot]) -> str:
    """What the plots show, in words."""
    said = []
    for plot in shown:
        for name, label in plot.series.items():
            values = [value for _, value in recording.series[name]]
            said.append(
                f"{plot.title}, {label}: {plots.short(round(min(values), 2))} to "
                f"{plots.short(round(max(values), 2))} {plot.unit}, at last {plots.short(round(values[-1], 2))}."
            )
    return " ".join(said)


class _Drawing:
    def __init__(self, plot: Plot, recording: Recording) -> None:
        self._plot, self._recording = plot, recording
        highest = max(value for name in plot.series for _, value in recording.series[name])
        self._ticks = plots.ticks(highest)

    def parts(self) -> Iterator[str]:
        yield _words(0, 14, self._plot.title, "strong")
        yield _words(PLOT_WIDTH - RIGHT, 14, self._plot.unit, "ink small", "end")
        yield from self._axes()
        yield from self._legend()
        for number, name in enumerate(self._plot.series):
            yield self._line(number, name, self._recording.series[name])
        if self._plot.is_judged:
            for number, name in enumerate(self._plot.series):
                yield from self._fit(number, name)

    def _x(self, seconds: float) -> float:
        return LEFT + min(1.0, seconds / self._recording.seconds) * (PLOT_WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        height = PLOT_HEIGHT - TOP - BOTTOM
        return PLOT_HEIGHT - BOTTOM - value / self._ticks[-1] * height

    def _axes(self) -> Iterator[str]:
        warm = self._x(self._recording.warm_up) - LEFT
        yield (
            f'<rect class="warm" fill="#3f4654" fill-opacity=".07" x="{LEFT}" y="{TOP}" width="{warm:.1f}" '
            f'height="{PLOT_HEIGHT - TOP - BOTTOM}"><title>warm-up</title></rect>'
        )
        for tick in self._ticks:
            y = self._y(tick)
            ends = f'x1="{LEFT}" x2="{PLOT_WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
            yield f'<line class="grid" stroke="#dfe3ea" {ends}/>'
            yield _words(LEFT - 7, y + 4, plots.short(tick), "ink small", "end")
        for seconds, label in moments(self._recording.seconds):
            yield _words(self._x(seconds), PLOT_HEIGHT - BOTTOM + 16, label, "ink small", "middle")

    def _legend(self) -> Iterator[str]:
        x = float(LEFT)
        for number, (name, label) in enumerate(self._plot.series.items()):
            stroke = f'stroke="{plots.COLOURS[number]}" stroke-width="3"'
            yield f'<line class="line s{number}" {stroke} x1="{x:.0f}" x2="{x + 14:.0f}" y1="36" y2="36"/>'
            yield _words(x + 20, 40, label, "ink")
            if self._plot.is_judged:
                slope = line(self._recording.judged(name)).per_minute
                yield _words(x + 20, 54, f"{slope:+.2f} a minute".replace("-", "−"), "ink small")
            x += (PLOT_WIDTH - LEFT - RIGHT) / max(3, len(self._plot.series))

    def _line(self, number: int, name: str, points: list[Point]) -> str:
        inside = [(at, value) for at, value in points if at <= self._recording.seconds]
        path = "L".join(f"{self._x(at):.1f} {self._y(value):.1f}" for at, value in inside)
        return (
            f'<path class="line thin s{number}" fill="none" stroke="{plots.COLOURS[number]}" d="M{path}">'
            f"<title>{escape(self._plot.series[name])}</title></path>"
        )

    def _fit(self, number: int, name: str) -> Iterator[str]:
        points = self._recording.judged(name)
        if len(points) < 2:
            return
        found = line(points)
        (x1, y1), (x2, y2) = (
            (self._x(at), self._y(max(0.0, found.at(at)))) for at in (points[0][0], points[-1][0])
        )
        yield (
            f'<line class="line fit s{number}" stroke="{plots.COLOURS[number]}" '
            f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        )


def moments(seconds: float) -> list[tuple[float, str]]:
    """Round moments of the time axis, in seconds, and what they are called."""
    unit, size = ("min", MINUTE) if seconds >= 2 * MINUTE else ("s", 1.0)
    step = next(
        step for step in (1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600) if seconds / size / step <= MOST_TICKS
    )
    count = int(seconds / size / step + 1e-6)
    return [
        (number * step * size, f"{number * step} {unit}" if number == count else f"{number * step}")
        for number in range(count + 1)
    ]


def _words(x: float, y: float, text: str, names: str, anchor: str = "start") -> str:
    colour = "#171a21" if "strong" in names else "#3f4654"
    return (
        f'<text class="{names}" fill="{colour}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
