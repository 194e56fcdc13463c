"""Straight lines through measured points, by least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from bench.soak.recording import Point, mean

SECONDS_PER_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Line:
    """`per_minute` and its standard error in the value's unit per minute; `at_zero` is the value at second 0."""

    per_minute: float = 0.0
    error: float = 0.0
    at_zero: float = 0.0

    def at(self, seconds: float) -> float:
        return self.at_zero + self.per_minute * seconds / SECONDS_PER_MINUTE


def line(points: Sequence[Point]) -> Line:
    """The line with the least squared distance. A level one where fewer than two moments are known."""
    middle_at, middle = mean([at for at, _ in points]), mean([value for _, value in points])
    spread = sum((at - middle_at) ** 2 for at, _ in points)
    if not spread:
        return Line(at_zero=middle)
    slope = sum((at - middle_at) * (value - middle) for at, value in points) / spread
    left = sum((value - middle - slope * (at - middle_at)) ** 2 for at, value in points)
    error = sqrt(left / (len(points) - 2) / spread) if len(points) > 2 else 0.0
    return Line(slope * SECONDS_PER_MINUTE, error * SECONDS_PER_MINUTE, middle - slope * middle_at)
