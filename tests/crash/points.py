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
from dataclasses import replace
from typing import Any

from runs import approvals, lifecycle
from runs.engine import journal, model_calls, tool_calls
from runs.engine.model_calls import Question
from runs.engine.recorder import Recorder, Step
from runs.engine.tool_calls import Deed

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
        approvals.decide = self._around("decide", approvals.decide)
        model_calls.ask = self._around_question(model_calls.ask)
        tool_calls.make = self._around_deed(tool_calls.make)

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

    def _around_question(self, ask: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        """What is done about a model call stays outside of the two points: between them is only the call itself."""

        @functools.wraps(ask)
        async def watched(recorder: Recorder, step: Step, models: Any, question: Question[Any]) -> Any:
            between = self._between("model call", question.ask)
            return await ask(recorder, step, models, replace(question, ask=between))

        return watched

    def _around_deed(self, make: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        """The same of a tool call. One that a run of its own answers has the points of that run."""

        @functools.wraps(make)
        async def watched(recorder: Recorder, step: Step, deed: Deed) -> Any:
            carry_out = deed.carry_out and self._between("tool call", deed.carry_out)
            return await make(recorder, step, replace(deed, carry_out=carry_out))

        return watched

    def _between(self, name: str, call: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        async def watched(asked: Any) -> Any:
            self.reach(f"before {name}")
            answer = await call(asked)
            self.reach(f"after {name}")
            return answer

        return watched
