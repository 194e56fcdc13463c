"""`manage.py reprice`: prices the calls of a period anew."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.audit.commands import Audited
from accounts.command_arguments import moment, workspace_named
from agentplatform.lib.errors import PlatformError
from billing import repricing
from billing.models import Repricing


class Command(Audited, BaseCommand):
    help = (
        "Prices the calls of a period anew, by the prices as they are known now for each call's own moment. The ledger "
        "gets reversals and replacements; nothing is overwritten. Killed on the way, a worker goes on with it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", required=True, help="slug of the workspace")
        parser.add_argument("--start", required=True, help="the first moment, like 2026-11-01")
        parser.add_argument("--end", required=True, help="the first moment after the period")
        parser.add_argument("--provider", default="", help="calls of this provider only")
        parser.add_argument("--model", default="", help="calls of this model only")
        parser.add_argument(
            "--agent", default="", help="calls of this agent only, by its id or its name then"
        )
        parser.add_argument("--reason", default="manage.py reprice", help="why, for who reads it later")
        parser.add_argument("--dry-run", action="store_true", help="only say what would change")

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = workspace_named(options["workspace"])
        narrowed = {name: options[name] for name in ("provider", "model", "agent", "reason", "dry_run")}
        wanted = Repricing(
            workspace=workspace, start=moment(options["start"]), end=moment(options["end"]), **narrowed
        )
        self.has_effect = not wanted.dry_run
        try:
            repricing.save(wanted)
        except PlatformError as error:
            raise CommandError(error.message) from error
        time.sleep(max((repricing.begins_at(wanted) - timezone.now()).total_seconds(), 0))
        while repricing.step(wanted.pk):
            wanted.refresh_from_db()
            self.stdout.write(f"{wanted.looked_at} calls looked at, {wanted.changed} changed …")
        wanted.refresh_from_db()
        verb = "would change" if wanted.dry_run else "changed"
        self.stdout.write(
            f"{wanted.looked_at} calls looked at, {wanted.changed} {verb}, {wanted.unknown} without a price."
        )
        for currency, sums in sorted(wanted.sums.items()):
            self.stdout.write(
                f"{currency}: {sums['before']} before, {sums['after']} after, {sums['difference']} difference."
            )
