"""Reads one run's server-sent events as they arrive, and keeps what the measurements ask for."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson

TERMINAL = {b"run_completed", b"run_failed", b"run_cancelled"}


class RunStream:
    """A sink for the body of an event stream. Times are CLOCK_MONOTONIC nanoseconds.

    `faults` counts events whose `seq` is not the next one: lost, doubled or out of order. `watch` is told the kind
    and data of each event.
    """

    __slots__ = ("_rest", "_watch", "arrivals", "ended_as", "faults", "moments", "taken_over_ns", "text")

    def __init__(self, watch: Callable[[str, bytes], None] | None = None) -> None:
        self._watch = watch
        self._rest = b""
        self.faults = 0
        self.moments: list[int] = []
        """When each event arrived."""
        self.text: list[str] = []
        self.arrivals: list[int] = []
        """When each piece of `text` arrived."""
        self.taken_over_ns = 0
        """When another worker went on with the run; 0 while none did."""
        self.ended_as = ""

    @property
    def first_event_ns(self) -> int:
        return self.moments[0]

    @property
    def first_delta_ns(self) -> int:
        return self.arrivals[0]

    def feed(self, data: bytes) -> None:
        now = time.monotonic_ns()
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            if frame.startswith(b"id: "):
                self._take(frame, now)

    def _take(self, frame: bytes, now: int) -> None:
        number, kind, data = frame.split(b"\n", 2)
        self.moments.append(now)
        if int(number[4:]) != len(self.moments):
            self.faults += 1
        kind = kind[7:]
        if kind == b"content_delta":
            self.text.append(orjson.loads(data[6:])["content"])
            self.arrivals.append(now)
        elif kind == b"attempt_started":
            self.taken_over_ns = now
        elif kind in TERMINAL:
            self.ended_as = kind.decode()
        if self._watch is not None:
            self._watch(kind.decode(), data[6:])

    def is_whole(self, expected: str) -> bool:
        """Whether the run completed, without a hole or a repeat, with this text."""
        return self.ended_as == "run_completed" and not self.faults and "".join(self.text) == expected

    def delays_ms(self) -> dict[int, float]:
        """For the text of a `clock` model: how much later than due each token arrived, by the token's index.

        A token that came more than once, or not at all, is missing in it.
        """
        delays: dict[int, float] = {}
        doubled: set[int] = set()
        rest = ""
        for text, arrived in zip(self.text, self.arrivals, strict=True):
            *tokens, rest = (rest + text).split("|")
            for token in tokens:
                index, _, due = token.partition("@")
                if int(index) in delays:
                    doubled.add(int(index))
                delays[int(index)] = (arrived - int(due)) / 1e6
        return {index: delay for index, delay in delays.items() if index not in doubled}
