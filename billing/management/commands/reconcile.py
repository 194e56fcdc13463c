"""`manage.py reconcile`: proves that every sum is what the ledger says, or names what differs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.command_arguments import moment, workspaces_named
from billing.reconciliation import MOST_DIFFERENCES, Findings, Scope, reconcile


class Command(BaseCommand):
    help = (
        "Compares the ledger with everything that was made of it, exactly, in one snapshot for each workspace. Names "
        "what differs; the exit status is 1 then."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", help="slug of one workspace (default: all)")
        parser.add_argument("--start", help="the first moment, like 2026-11-01 (default: from the beginning)")
        parser.add_argument("--end", help="the first moment after the period (default: to the end)")
        parser.add_argument(
            "--most", type=int, default=MOST_DIFFERENCES, help="how many are named of each kind"
        )
        parser.add_argument("--json", action="store_true", help="a line of JSON for each workspace and kind")

    def handle(self, *args: Any, **options: Any) -> None:
        start, end = (moment(options[name]) if options[name] else None for name in ("start", "end"))
        if start and end and start >= end:
            raise CommandError("Give a start before the end.")
        differing = 0
        for workspace in workspaces_named(options["workspace"]):
            for one in reconcile(Scope(workspace.pk, workspace.slug, start, end), options["most"]):
                differing += one.differing
                self._say(workspace.slug, one, options["json"])
        if differing:
            sys.exit(1)

    def _say(self, slug: str, one: Findings, is_json: bool) -> None:
        if is_json:
            self.stdout.write(json.dumps({"workspace": slug, **asdict(one)}, default=str))
            return
        verdict = f"{one.differing} differ" if one.differing else "all agree"
        self.stdout.write(f"{slug}: {one.road}: {one.groups} compared, {verdict}.")
        for difference in one.differences:
            self.stdout.write(f"{slug}: {difference}")
