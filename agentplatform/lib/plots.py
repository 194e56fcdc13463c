"""Plots as SVG: pure functions of figures. Texts are escaped, and nothing in it comes from elsewhere or is a script.

    plots.lines("Tokens", ["1 Nov", "2 Nov"], [Series("input", [10, 20]), Series("output", [1, None])])
    plots.columns("Runs", ["1 Nov", "2 Nov"], [Series("completed", [9, 8]), Series("failed", [1, 0])])
    plots.bars("Cost by model", [Bar("gpt-5", Decimal("1.25"))], unit="USD")

Each value's tooltip says all of it, the description says the rest, and no figure is told apart by its colour alone.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from sys import float_info

from django.http import HttpResponse

from agentplatform.lib.decimals import plain

Number = int | float | Decimal

# Pixels.
WIDTH, HEIGHT = 720, 280
TOP, BOTTOM, LEFT, RIGHT = 64, 30, 58, 16
BAR_HEIGHT, BAR_LEFT, BAR_RIGHT = 30, 190, 110
CHARACTER = 6.6
COLOURS = ("#2563eb", "#c2570c", "#15803d", "#c81e4a", "#7c3aed", "#0f766e", "#a16207", "#5c6473")
DASHES = ("", "6 4", "2 4", "10 4 2 4")
MOST_SERIES = len(COLOURS)
MOST_BARS = 20
MOST_POINTS = 2_000
LONGEST_NAME = 26
_TICKS = 4
_STYLESHEET = Path(__file__).resolve().parents[2] / "static" / "plots" / "plot.css"


@dataclass(frozen=True, slots=True)
class Series:
    """A named value for each label; None: there is none, and the line breaks off."""

    name: str
    values: Sequence[Number | None]


@dataclass(frozen=True, slots=True)
class Bar:
    """A named value; None: it is not known. `note` stands behind it."""

    label: str
    value: Number | None
    note: str = ""


def lines(
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    unit: str = "",
    is_file: bool = True,
    width: int = WIDTH,
) -> str:
    """Series over time as lines.

    `is_file`: with its style sheet in it, else the page around it links `plots/plot.css`.
    """
    frame = _Frame(title, labels, series, unit, width)
    return _drawn(frame, frame.lines(), is_file)


def columns(
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    unit: str = "",
    is_file: bool = True,
    width: int = WIDTH,
) -> str:
    """Series over time as columns, one upon the other."""
    frame = _Frame(title, labels, series, unit, width, is_stacked=True)
    return _drawn(frame, frame.columns(), is_file)


def bars(
    title: str, wanted: Sequence[Bar], *, unit: str = "", is_file: bool = True, width: int = WIDTH
) -> str:
    """Values side by side, in the order that they are given, at most MOST_BARS."""
    shown = wanted[:MOST_BARS]
    described = _describe_bars(shown, len(wanted), unit)
    height = 52 + BAR_HEIGHT * max(1, len(shown))
    return _document(title, described, width, height, _bars(shown, unit, width), is_file)


@functools.cache
def stylesheet() -> str:
    """What plots look like; pages link the same file."""
    return _STYLESHEET.read_text(encoding="utf-8")


def response(svg: str) -> HttpResponse:
    """A plot that a browser may open by itself, or show in an <img>: no scripts, nothing but its own style sheet."""
    digest = base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'; sandbox"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return HttpResponse(svg, content_type="image/svg+xml; charset=utf-8", headers=headers)


# --- over time ---


class _Frame:
    """Axes, and what stands between them."""

    def __init__(
        self,
        title: str,
        labels: Sequence[str],
        series: Sequence[Series],
        unit: str,
        width: int,
        *,
        is_stacked: bool = False,
    ) -> None:
        if any(len(one.values) != len(labels) for one in series):
            raise ValueError("Each series needs a value, or None, for each label.")
        if len(series) > MOST_SERIES or len(labels) > MOST_POINTS:
            raise ValueError(f"A plot shows at most {MOST_SERIES} series of {MOST_POINTS} values.")
        self.title, self.labels, self.series, self.unit, self.width = title, labels, series, unit, width
        self.is_stacked = is_stacked
        self.ticks = ticks(_highest(series, is_stacked))
        self.slot = (width - LEFT - RIGHT) / max(1, len(labels))

    def x(self, place: float) -> float:
        """The middle of a label's place."""
        return LEFT + (place + 0.5) * self.slot

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.ticks[-1] * (HEIGHT - BOTTOM - TOP)

    def axes(self) -> Iterator[str]:
        for tick in self.ticks:
            y = self.y(tick)
            ends = f'x1="{LEFT}" x2="{self.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
            yield f'<line class="grid" stroke="#dfe3ea" {ends}/>'
            yield _words("ink", LEFT - 8, y + 4, short(tick), "end")
        longest = max((len(label) for label in self.labels), default=1)
        every = max(1, ceil((longest + 2) * CHARACTER / self.slot))
        for place in range(0, len(self.labels), every):
            yield _words("ink", self.x(place), HEIGHT - 10, self.labels[place], "middle")
        if not self.labels:
            yield _words("ink", self.width / 2, HEIGHT / 2, "–", "middle")

    def legend(self) -> Iterator[str]:
        x = float(LEFT)
        room = (self.width - LEFT) / max(1, len(self.series)) - 42
        for number, one in enumerate(self.series):
            name = _cut(one.name, max(3, min(LONGEST_NAME, int(room / CHARACTER))))
            yield self._mark(number, x)
            yield _words("ink", x + 24, 47, name)
            x += 42 + _length(name)

    def _mark(self, number: int, x: float) -> str:
        if self.is_stacked:
            place = f'x="{x + 6:.0f}" y="37" width="12" height="12"'
            return f'<rect class="area s{number}" fill="{COLOURS[number]}" rx="2" {place}/>'
        ends = f'x1="{x:.0f}" x2="{x + 18:.0f}" y1="43" y2="43"'
        return f'<line class="line s{number}" stroke="{COLOURS[number]}" stroke-width="3" {ends}{_dashes(number)}/>'

    def lines(self) -> Iterator[str]:
        for number, one in enumerate(self.series):
            path, is_down = [], False
            for place, value in enumerate(one.values):
                if value is None:
                    is_down = False
                    continue
                path.append(f"{'L' if is_down else 'M'}{self.x(place):.1f} {self.y(float(value)):.1f}")
                is_down = True
            yield (
                f'<path class="line s{number}" fill="none" stroke="{COLOURS[number]}" '
                f'stroke-width="2"{_dashes(number)} d="{"".join(path)}"/>'
            )
            yield from self._lone_points(number, one)

    def _lone_points(self, number: int, one: Series) -> Iterator[str]:
        """A value without neighbours is no line."""
        around: list[Number | None] = [None, *one.values, None]
        for place, value in enumerate(one.values):
            if value is not None and around[place] is None and around[place + 2] is None:
                yield (
                    f'<circle class="area s{number}" fill="{COLOURS[number]}" '
                    f'cx="{self.x(place):.1f}" cy="{self.y(float(value)):.1f}" r="3"/>'
                )

    def columns(self) -> Iterator[str]:
        thick = max(1.0, min(28.0, self.slot * 0.72))
        for place in range(len(self.labels)):
            below = 0.0
            for number, one in enumerate(self.series):
                value = float(one.values[place] or 0)
                if value <= 0:
                    continue
                top, bottom = self.y(below + value), self.y(below)
                yield (
                    f'<rect class="area s{number}" fill="{COLOURS[number]}" x="{self.x(place) - thick / 2:.1f}" '
                    f'y="{top:.1f}" width="{thick:.1f}" height="{max(0.8, bottom - top):.1f}"/>'
                )
                below += value

    def tooltips(self) -> Iterator[str]:
        for place, label in enumerate(self.labels):
            said = [
                f"{one.name}: {_said(value, self.unit)}"
                for one in self.series
                if (value := one.values[place]) is not None
            ]
            yield (
                f'<rect class="touch" fill="transparent" x="{LEFT + place * self.slot:.1f}" y="{TOP}" '
                f'width="{self.slot:.2f}" height="{HEIGHT - BOTTOM - TOP}">'
                f"<title>{_text(label)}\n{_text('; '.join(said) or '–')}</title></rect>"
            )

    def described(self) -> str:
        if not self.labels:
            return "No values."
        extent = f"{len(self.labels)} values from {self.labels[0]} to {self.labels[-1]}. "
        return extent + " ".join(_describe_series(one, self.unit) for one in self.series)


def _drawn(frame: _Frame, shapes: Iterator[str], is_file: bool) -> str:
    title = f"{frame.title} ({frame.unit})" if frame.unit else frame.title
    body = [*frame.axes(), *frame.legend(), *shapes, *frame.tooltips()]
    return _document(title, frame.described(), frame.width, HEIGHT, iter(body), is_file)


def _highest(series: Sequence[Series], is_stacked: bool) -> float:
    if is_stacked:
        sums = (
            sum(float(value or 0) for value in values)
            for values in zip(*(one.values for one in series), strict=True)
        )
        return max(sums, default=0.0)
    return max((float(value) for one in series for value in one.values if value is not None), default=0.0)


def ticks(highest: float) -> list[float]:
    """From zero, in steps of 1, 2 or 5 times a power of ten, to the first at or above `highest`."""
    # What is less than the least normal number may be nothing once it is divided.
    if highest < float_info.min:
        return [0.0, 1.0]
    magnitude = 10.0 ** floor(log10(highest / _TICKS))
    step = next(step for factor in (1, 2, 5, 10) if (step := factor * magnitude) * _TICKS >= highest * 0.999)
    return [step * number for number in range(ceil(highest / step * 0.999999) + 1)]


# --- side by side ---


def _bars(wanted: Sequence[Bar], unit: str, width: int) -> Iterator[str]:
    highest = max((float(bar.value) for bar in wanted if bar.value is not None), default=0.0)
    left = min(BAR_LEFT, width * 0.36)
    room = width - left - BAR_RIGHT
    if not wanted:
        yield _words("ink", width / 2, 70, "–", "middle")
    for number, bar in enumerate(wanted):
        y = 44 + number * BAR_HEIGHT
        share = max(0.0, float(bar.value or 0)) / highest if highest > 0 else 0.0
        said = _said(bar.value, unit)
        note = f" ({bar.note})" if bar.note else ""
        yield f"<g><title>{_text(bar.label)}: {_text(said + note)}</title>"
        yield _words("ink", left - 8, y + 15, _cut(bar.label, int((left - 8) / CHARACTER)), "end")
        yield (
            f'<rect class="area s0" fill="{COLOURS[0]}" x="{left:.1f}" y="{y}" rx="2" '
            f'width="{max(1.0, share * room):.1f}" height="{BAR_HEIGHT - 9}"/>'
        )
        yield _words("strong", left + max(1.0, share * room) + 7, y + 15, _said(bar.value, unit)) + "</g>"


def _describe_bars(shown: Sequence[Bar], count: int, unit: str) -> str:
    said = "; ".join(f"{bar.label}: {_said(bar.value, unit)}" for bar in shown)
    more = f" And {count - len(shown)} more." if count > len(shown) else ""
    return f"{said}.{more}" if shown else "No values."


# --- texts ---


def _document(title: str, described: str, width: int, height: int, body: Iterator[str], is_file: bool) -> str:
    paper = f'<rect class="paper" fill="#fff" width="{width}" height="{height}"/>' if is_file else ""
    style = f"<style>{stylesheet()}</style>" if is_file else ""
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-size="12" font-family="sans-serif">',
            f"<title>{_text(title)}</title><desc>{_text(described)}</desc>{style}{paper}",
            _words("strong", 12, 22, title),
            *body,
            "</svg>",
        ]
    )


def short(value: float) -> str:
    """For an axis: 1.5k, 20M, 0.25."""
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit * 0.9999:
            return f"{value / limit:.6g}{letter}"
    return f"{value:.6g}"


def _said(value: Number | None, unit: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        text = f"{value:,}"
    elif abs(float(value)) >= 100:
        text = f"{value:,.2f}"
    else:
        text = plain(Decimal(f"{value:.4g}"))
    return f"{text}{'' if unit == '%' else ' '}{unit}".strip()


def _describe_series(one: Series, unit: str) -> str:
    known = [value for value in one.values if value is not None]
    if not known:
        return f"{one.name}: no values."
    key: Callable[[Number], float] = float
    lowest, highest = min(known, key=key), max(known, key=key)
    return f"{one.name}: {_said(lowest, unit)} to {_said(highest, unit)}, at last {_said(known[-1], unit)}."


def _dashes(number: int) -> str:
    dashes = DASHES[number % len(DASHES)]
    return f' stroke-dasharray="{dashes}"' if dashes else ""


def _words(name: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    colour = "#171a21" if name == "strong" else "#3f4654"
    return f'<text class="{name}" fill="{colour}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_text(text)}</text>'


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _length(text: str) -> float:
    """About how wide it is: Chinese characters take two places."""
    return sum(CHARACTER * (2 if ord(one) > 0x2E80 else 1) for one in text)


def _text(text: str) -> str:
    """Escaped, and without what XML cannot hold."""
    return escape("".join(one for one in text if one.isprintable() or one == "\n"))
