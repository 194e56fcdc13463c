"""How long runs, steps, model calls and tool calls take, and what goes wrong with them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from agents.models import Agent, Workflow
from runs.analytics.histograms import ERROR
from runs.analytics.periods import Period
from runs.analytics.reading import Row, Sums, Whose, gathered, read
from runs.models import EVERYBODY, Kind, Status

Json = dict[str, Any]

CALLS = (Kind.STEP, Kind.MODEL_CALL, Kind.TOOL_CALL)
MOST_GROUPS = 100
"""Of each breakdown, those with the most."""
FAILED = (Status.FAILED.value, "unknown")
"""Outcomes that count as failed: of a model call `unknown`, too, which a lost worker has left open."""


def performance(whose: Whose, period: Period) -> Json:
    """Durations of what ended in a period: as a whole, and by agent, workflow, type of step, model and tool."""
    runs = read(whose, period, [Kind.RUN], ["executed_id", "outcome"])
    by_kind = _by_kind(read(whose, period, CALLS, ["kind", "subject", "outcome"]))
    names = _Names(whose.workspace_id, (common["executed_id"] for common, _ in runs))
    return {
        "error": ERROR,
        "runs": {
            **stated(runs),
            "by_agent": _broken_down(runs, "executed_id", names.of_agent),
            "by_workflow": _broken_down(runs, "executed_id", names.of_workflow),
        },
        **{
            f"{kind.value}s": {
                **stated(by_kind[kind]),
                f"by_{by}": _broken_down(by_kind[kind], "subject", name),
            }
            for kind, by, name in SUBJECTS
        },
    }


def slowest_agents(whose: Whose, period: Period, most: int) -> list[Json]:
    """`{id, name, count, failed, avg_duration, p50, p95, p99}` of the agents with the highest p95."""
    runs = read(whose, period, [Kind.RUN], ["executed_id", "outcome"])
    names = _Names(whose.workspace_id, (common["executed_id"] for common, _ in runs))
    found = [one for one in _broken_down(runs, "executed_id", names.of_agent) if one["p95"] is not None]
    return sorted(found, key=lambda one: -one["p95"])[:most]


def totals(whose: Whose, period: Period) -> Json:
    """The same without its breakdowns."""
    by_kind = _by_kind(read(whose, period, list(Kind), ["kind", "outcome"]))
    return {f"{kind.value}s": stated(rows) for kind, rows in by_kind.items()}


def errors(whose: Whose, period: Period) -> Json:
    """What has failed in a period: runs by class, agent and workflow, calls by model and by tool. No messages."""
    runs = read(whose, period, [Kind.RUN], ["executed_id", "outcome", "error_class"], with_durations=False)
    calls = read(whose, period, CALLS, ["kind", "subject", "outcome"], with_durations=False)
    by_kind = _by_kind(calls)
    names = _Names(whose.workspace_id, (common["executed_id"] for common, _ in runs))

    def executed(name: Callable[[uuid.UUID], Json | None]) -> list[Json]:
        found = _failing(runs, "executed_id", name, "runs")
        return [{**one, "by_class": _classes(runs, one["id"])} for one in found]

    return {
        **failure_totals(runs),
        "by_class": _classes(runs),
        "by_agent": executed(names.of_agent),
        "by_workflow": executed(names.of_workflow),
        "by_model": _failing(by_kind[Kind.MODEL_CALL], "subject", _model, "calls"),
        "by_tool": _failing(by_kind[Kind.TOOL_CALL], "subject", _tool, "calls"),
    }


def failure_totals(runs: Iterable[Row]) -> Json:
    """`{total_runs, failed_runs, error_rate}`; of nothing the rate is None."""
    total, failed = _counts(runs)
    return {"total_runs": total, "failed_runs": failed, "error_rate": _rate(failed, total)}


def error_totals(whose: Whose, period: Period) -> Json:
    return failure_totals(read(whose, period, [Kind.RUN], ["outcome"], with_durations=False))


def stated(rows: Iterable[Row]) -> Json:
    """`{count, failed, avg_duration, p50, p95, p99}`, seconds."""
    together, failed = Sums(), 0
    for common, sums in rows:
        together.add(sums)
        failed += sums.count if common["outcome"] in FAILED else 0
    return _facts(together, failed)


def _facts(sums: Sums, failed: int) -> Json:
    return {"count": sums.count, "failed": failed, "avg_duration": sums.average, **sums.percentiles()}


def _by_kind(rows: Iterable[Row]) -> dict[Kind, list[Row]]:
    found: dict[Kind, list[Row]] = {kind: [] for kind in Kind}
    for row in rows:
        found[Kind(row[0]["kind"])].append(row)
    return found


def _grouped(rows: Iterable[Row], key: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[0][key], []).append(row)
    return found


def _broken_down(rows: list[Row], key: str, name: Callable[[Any], Json | None]) -> list[Json]:
    found = [
        {**named, **stated(own)}
        for value, own in _grouped(rows, key).items()
        if (named := name(value)) is not None
    ]
    return sorted(found, key=lambda one: -one["count"])[:MOST_GROUPS]


def _failing(rows: list[Row], key: str, name: Callable[[Any], Json | None], what: str) -> list[Json]:
    """Those of which something has failed, the most failures first."""
    found = []
    for value, own in _grouped(rows, key).items():
        total, failed = _counts(own)
        if failed and (named := name(value)) is not None:
            found.append({**named, what: total, "failed": failed, "error_rate": _rate(failed, total)})
    return sorted(found, key=lambda one: -one["failed"])[:MOST_GROUPS]


def _classes(runs: list[Row], executed_id: uuid.UUID | None = None) -> list[Json]:
    failed = [
        row
        for row in runs
        if row[0]["outcome"] == Status.FAILED and executed_id in (None, row[0]["executed_id"])
    ]
    classes = {name or "internal": sums.count for (name,), sums in gathered(failed, "error_class").items()}
    total = sum(classes.values())
    found = [
        {"class": name, "runs": count, "share": _rate(count, total)}
        for name, count in classes.items()
        if count
    ]
    return sorted(found, key=lambda one: -one["runs"])


def _counts(rows: Iterable[Row]) -> tuple[int, int]:
    """How many ended, and how many of them failed."""
    total = failed = 0
    for common, sums in rows:
        total += sums.count
        failed += sums.count if common["outcome"] in FAILED else 0
    return total, failed


def _rate(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _type(subject: str) -> Json:
    return {"type": subject}


def _tool(subject: str) -> Json:
    return {"tool": subject}


def _model(subject: str) -> Json:
    provider, _, model = subject.partition("/")
    return {"provider": provider, "model": model}


SUBJECTS = ((Kind.STEP, "type", _type), (Kind.MODEL_CALL, "model", _model), (Kind.TOOL_CALL, "tool", _tool))


class _Names:
    """What agents and workflows are called today; what has been deleted has no name, and counts as an agent."""

    def __init__(self, workspace_id: uuid.UUID, ids: Iterable[uuid.UUID]) -> None:
        wanted = set(ids) - {EVERYBODY}
        self._agents, self._workflows = (
            dict(model.objects.filter(workspace_id=workspace_id, pk__in=wanted).values_list("pk", "name"))
            for model in (Agent, Workflow)
        )

    def of_agent(self, executed_id: uuid.UUID) -> Json | None:
        if executed_id in self._workflows:
            return None
        return {
            "id": None if executed_id == EVERYBODY else executed_id,
            "name": self._agents.get(executed_id, ""),
        }

    def of_workflow(self, executed_id: uuid.UUID) -> Json | None:
        name = self._workflows.get(executed_id)
        return None if name is None else {"id": executed_id, "name": name}
