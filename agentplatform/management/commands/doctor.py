"""`manage.py doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from agentplatform.doctor import configuration, database, host, services, work
from agentplatform.doctor.examination import LIMIT_SECONDS, Check, Report, Status, examine

SIGNS = {Status.OK: "ok      ", Status.WARNING: "warning ", Status.PROBLEM: "PROBLEM "}


def all_checks(web_processes: int) -> list[Check]:
    return [
        *configuration.CHECKS,
        *database.checks(web_processes),
        *services.CHECKS,
        *work.CHECKS,
        *host.CHECKS,
    ]


class Command(BaseCommand):
    help = (
        "Look at settings, database, Redis, storage, mail, workers, ledger and this machine, and say what to mend. "
        "Changes nothing. Ends with status 1 where there is a problem."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document")
        parser.add_argument(
            "--fail-level", choices=["warning", "problem"], default="problem", help="what ends with status 1"
        )
        parser.add_argument(
            "--web-processes", type=int, default=2, help="how many there are, for the count of connections"
        )
        parser.add_argument("--seconds", type=float, default=LIMIT_SECONDS, help="how long a check may take")

    def handle(self, *args: object, **options: Any) -> None:
        report = examine(all_checks(options["web_processes"]), options["seconds"])
        if options["json"]:
            self.stdout.write(json.dumps(document(report), indent=2))
        else:
            self._say(report)
        levels = list(Status)
        if levels.index(report.status) >= levels.index(Status(options["fail_level"])):
            self.stdout.flush()
            sys.exit(1)

    def _say(self, report: Report) -> None:
        for result in report.results:
            for finding in result.findings:
                self.stdout.write(f"{SIGNS[finding.status]}{result.check}: {finding.message}")
                if finding.remedy:
                    self.stdout.write(f"        → {finding.remedy}")
        if report.left_out:
            self.stdout.write(
                f"Left out, because what they need does not answer: {', '.join(report.left_out)}."
            )
        counts = [finding.status for result in report.results for finding in result.findings]
        self.stdout.write(
            f"{counts.count(Status.PROBLEM)} problems, {counts.count(Status.WARNING)} warnings."
        )


def document(report: Report) -> dict[str, Any]:
    """The report as JSON has it."""
    results = [
        {
            "check": result.check,
            "status": result.status,
            "milliseconds": result.milliseconds,
            "findings": [asdict(finding) for finding in result.findings],
        }
        for result in report.results
    ]
    return {"status": report.status, "checks": results, "left_out": report.left_out}
