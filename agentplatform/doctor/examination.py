"""How checks are made: side by side, each with a time limit, in threads that nobody waits for."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Thread

from django.db import connections

# A component that takes longer is taken for dead.
LIMIT_SECONDS = 8.0


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found, and what to do about it where it is not as it should be."""

    status: Status
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """`look` yields findings; what it raises is a problem, with `remedy`.

    `needs` names the check without whose success this one is in vain.
    """

    name: str
    look: Callable[[], Iterator[Finding]]
    needs: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A check's findings, at least one."""

    check: str
    findings: Sequence[Finding]
    milliseconds: float

    @property
    def status(self) -> Status:
        return worst(self.findings)


@dataclass(slots=True)
class Report:
    results: list[Result] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def status(self) -> Status:
        return worst(finding for result in self.results for finding in result.findings)


def ok(message: str) -> Finding:
    return Finding(Status.OK, message)


def warning(message: str, remedy: str) -> Finding:
    return Finding(Status.WARNING, message, remedy)


def problem(message: str, remedy: str) -> Finding:
    return Finding(Status.PROBLEM, message, remedy)


def worst(findings: Iterable[Finding]) -> Status:
    return max((finding.status for finding in findings), key=list(Status).index, default=Status.OK)


def examine(checks: Sequence[Check], limit: float = LIMIT_SECONDS) -> Report:
    """Makes all checks, those that others need before the others. Takes twice `limit` seconds at most."""
    report, needed = Report(), {check.needs for check in checks}
    first = [check for check in checks if check.name in needed]
    report.results += _together(first, limit)
    failed = {result.check for result in report.results if result.status == Status.PROBLEM}
    report.left_out = [check.name for check in checks if check.needs in failed]
    rest = [check for check in checks if check not in first and check.needs not in failed]
    report.results += _together(rest, limit)
    order = [check.name for check in checks]
    report.results.sort(key=lambda result: order.index(result.check))
    return report


def _together(checks: Sequence[Check], limit: float) -> list[Result]:
    """The results of all within `limit` seconds. Threads that hang are left behind: they do not keep the process."""
    answers: queue.SimpleQueue[Result] = queue.SimpleQueue()
    for check in checks:
        Thread(target=lambda check=check: answers.put(_made(check)), daemon=True, name=check.name).start()
    until = time.monotonic() + limit
    results: list[Result] = []
    while len(results) < len(checks):
        try:
            results.append(answers.get(timeout=max(0.0, until - time.monotonic())))
        except queue.Empty:
            break
    answered = {result.check for result in results}
    return results + [_silent(check, limit) for check in checks if check.name not in answered]


def _made(check: Check) -> Result:
    started = time.perf_counter()
    try:
        findings = list(check.look())
    except Exception as error:
        findings = [problem(f"{type(error).__name__}: {str(error).strip()[:500]}", check.remedy)]
    taken = round((time.perf_counter() - started) * 1000, 1)
    connections.close_all()
    return Result(check.name, findings, taken)


def _silent(check: Check, limit: float) -> Result:
    finding = problem(f"No answer within {limit:g} seconds.", check.remedy)
    return Result(check.name, [finding], limit * 1000)
