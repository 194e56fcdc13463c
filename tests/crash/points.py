"""The points of a run's life at which a process may be killed, told apart by what happens there and how often it has.

The real functions are wrapped where they are looked up, so no production code knows of this. Each wrapped call is
two points: `before flush 3` lies right before the journal's third transaction, `after flush 3` right after its
commit and before anybody has heard of it.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from runs import lifecycle
from runs.engine import journal
from runs.engine.middleware import RunMiddleware

VERBS = ("start", "pause", "resume", "cancel")


def kind_of(point: str) -> str:
    """What happens at a point, without how often it has."""
    return point.rsplit(" ", 1)[0]


class Points:
    """Counts the points that this process passes, and kills the process, as `kill -9` does, at the fatal one."""

    def __init__(self, fatal: str = "") -> None:
        self.passed: list[str] = []
        self._fatal = fatal
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def watch(self) -> None:
        """Wraps what commits and what has effects, for as long as this process lives."""
        journal.commit = self._around("flush", journal.commit)
        for verb in VERBS:
            setattr(lifecycle, verb, self._around(verb, getattr(lifecycle, verb)))
        RunMiddleware.awrap_model_call = self._around_handler("model call", RunMiddleware.awrap_model_call)
        RunMiddleware.awrap_tool_call = self._around_handler("tool call", RunMiddleware.awrap_tool_call)

    def reach(self, name: str) -> None:
        """The process comes to the next point of this name."""
        with self._lock:
            self._counts[name] += 1
            point = f"{name} {self._counts[name]}"
            self.passed.append(point)
        if point == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def _around(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.reach(f"before {name}")
            result = work(*args, **kwargs)
            self.reach(f"after {name}")
            return result

        return watched

    def _around_handler(self, name: str, wrap: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        """The middleware's own work stays outside of the two points: between them is only the call itself."""

        @functools.wraps(wrap)
        async def watched(
            middleware: RunMiddleware, request: Any, handler: Callable[[Any], Awaitable[Any]]
        ) -> Any:
            async def call(final: Any) -> Any:
                self.reach(f"before {name}")
                answer = await handler(final)
                self.reach(f"after {name}")
                return answer

            return await wrap(middleware, request, call)

        return watched
