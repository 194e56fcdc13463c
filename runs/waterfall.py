"""When the steps of a run began and how long each took, with the tool calls and the runs inside: its time line.

    Waterfall(seconds=3.2, is_final=True, bars=[Bar("step", "Model call", start=0.1, seconds=0.4, tokens=43, …), …])

A bar's `depth` counts from 0: a step, 1: one of its tool calls, or a wait for a person, 2: the run that the call has
started. At most MOST of each are read; of more, the last ones.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from agentplatform.lib.decimals import plain
from runs.models import TERMINAL, Approval, Run, RunStep, ToolCall

MOST = 200
WHOLE = 1000
"""The width of the time line, in the units of `x` and `width`."""
NARROWEST = 4
"""Of a bar, so that what took a moment can be seen."""
# An agent's graph has always the same two nodes; a workflow's have names that people gave them.
NODES_OF_AGENTS = frozenset({"model", "tools", ""})


@dataclass(slots=True)
class Bar:
    """Something that took time. `start` and `seconds` count from the beginning of the time line."""

    kind: str
    """`queue`, `step`, `call`, `run` or `wait`."""
    title: str
    start: float
    seconds: float
    is_open: bool = False
    """Whether it goes on."""
    depth: int = 0
    status: str = ""
    tokens: int | None = None
    cost: str = ""
    first_token: float | None = None
    """Seconds from its model call until the first token."""
    child: uuid.UUID | None = None
    """The run that it is, or that it has started."""
    x: float = 0
    width: float = 0


@dataclass(slots=True)
class Waterfall:
    """The bars in the order in which they began, each followed by what is inside of it."""

    seconds: float
    is_final: bool
    bars: list[Bar] = field(default_factory=list)
    has_more: bool = False
    """Whether the beginning is left out."""


def waterfall_of(run: Run, runs: QuerySet[Run]) -> Waterfall:
    """The time line of a run; of the runs that its tools have started, those among `runs`. Four queries at most."""
    is_final = run.status in TERMINAL
    begin = run.queued_at or run.created_at
    end = (run.finished_at or run.updated_at) if is_final else timezone.now()
    clock = _Clock(begin, end, is_final=is_final)
    steps = _newest(RunStep.objects.filter(run=run).defer("messages", "model_response"))
    calls = _newest(run.tool_calls.defer("message"), "claimed_at")
    waits = _newest(run.approvals.defer("arguments"), "created_at")
    children = _children(calls, runs)
    inside = _inside(calls, waits, children, clock)
    bars = [_queue(run, clock)] if run.queued_at else []
    for step in steps:
        bars += [_step(step, clock), *inside.pop(step.step_num, [])]
    # What belongs to a step that has not ended yet, or to one that is left out.
    for number in sorted(inside):
        bars += inside[number]
    drawn = Waterfall(clock.seconds, is_final, bars, has_more=len(steps) == MOST)
    for bar in bars:
        _place(bar, drawn.seconds)
    return drawn


class _Clock:
    """Moments as seconds since the beginning."""

    def __init__(self, begin: datetime, end: datetime, *, is_final: bool) -> None:
        self.begin = begin
        self.end = end
        self.is_final = is_final
        self.seconds = self.of(end)

    def of(self, moment: datetime) -> float:
        return max(0.0, round((moment - self.begin).total_seconds(), 3))

    def between(self, start: datetime, end: datetime | None) -> dict[str, Any]:
        """The fields of a bar; without an end it goes on, as long as the run does."""
        until = end or max(self.end, start)
        seconds = round(self.of(until) - self.of(start), 3)
        return {"start": self.of(start), "seconds": seconds, "is_open": end is None and not self.is_final}


def _queue(run: Run, clock: _Clock) -> Bar:
    assert run.queued_at
    return Bar("queue", _("In the queue"), **clock.between(run.queued_at, run.started_at or run.finished_at))


def _step(step: RunStep, clock: _Clock) -> Bar:
    kind = step.get_type_display()
    title = kind if step.node in NODES_OF_AGENTS else f"{step.node} · {kind}"
    return Bar(
        "step",
        f"{step.step_num}. {title}",
        **clock.between(step.started_at, step.finished_at),
        tokens=step.metrics.get("total_tokens"),
        cost=step.metrics.get("cost") or "",
        first_token=step.metrics.get("time_to_first_token"),
    )


def _inside(
    calls: Iterable[ToolCall], waits: Iterable[Approval], children: Mapping[uuid.UUID, Run], clock: _Clock
) -> dict[int, list[Bar]]:
    """Tool calls with their runs, and waits for a person, by the number of their step."""
    found: defaultdict[int, list[Bar]] = defaultdict(list)
    for wait in waits:
        span = clock.between(wait.created_at, wait.decided_at)
        found[wait.step].append(
            Bar(
                "wait",
                _("%(tool)s waits for a person") % {"tool": wait.tool},
                **span,
                depth=1,
                status=wait.status,
            )
        )
    for call in calls:
        span = clock.between(call.claimed_at, call.finished_at)
        found[call.step_num].append(Bar("call", call.tool, **span, depth=1, status=call.status))
        if child := children.get(call.child_run_id) if call.child_run_id else None:
            found[call.step_num].append(_child(child, clock))
    return dict(found)


def _child(run: Run, clock: _Clock) -> Bar:
    ended = run.finished_at if run.status in TERMINAL else None
    return Bar(
        "run",
        run.executes,
        **clock.between(run.created_at, ended),
        depth=2,
        status=run.status,
        tokens=run.total_tokens,
        cost=plain(run.total_cost) if run.total_cost else "",
        child=run.pk,
    )


def _children(calls: Iterable[ToolCall], runs: QuerySet[Run]) -> dict[uuid.UUID, Run]:
    ids = [call.child_run_id for call in calls if call.child_run_id]
    if not ids:
        return {}
    light = ("input", "input_query", "response_content", "output", "error", "config", "limits", "metadata")
    return {run.pk: run for run in runs.filter(pk__in=ids).defer(*light)}


def _newest(rows: Any, ordering: str = "started_at") -> list[Any]:
    """The last MOST, in the order in which they began."""
    return list(rows.order_by(f"-{ordering}", "-id")[:MOST])[::-1]


def _place(bar: Bar, seconds: float) -> None:
    whole = seconds or 1.0
    bar.width = round(max(NARROWEST, min(WHOLE, bar.seconds / whole * WHOLE)), 1)
    bar.x = round(max(0.0, min(bar.start / whole * WHOLE, WHOLE - bar.width)), 1)
