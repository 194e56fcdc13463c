"""`manage.py prune`: removes old checkpoints, as the workers do now and then."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit.commands import Audited
from accounts.command_arguments import workspaces_named
from runs.history.retention import prune


class Command(Audited, BaseCommand):
    help = (
        "Removes checkpoints of runs that have ended: all but the newest, a person's own, and those that another "
        "run goes on from."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", help="slug of one workspace (default: all)")
        parser.add_argument("--keep", type=int, help="how many of each run (default: as the workspace says)")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted, is_dry_run = options["keep"], options["dry_run"]
        self.has_effect = not is_dry_run
        if wanted is not None and wanted < 1:
            raise CommandError("Keep at least 1: it is where a run's session goes on.")
        for workspace in workspaces_named(options["workspace"]):
            keep = wanted or workspace.kept_checkpoints
            if keep is None:
                self.stdout.write(f"{workspace.slug}: keeps all. Say how many with --keep.")
                continue
            removed = prune(workspace, keep, is_dry_run=is_dry_run)
            verb = "would remove" if is_dry_run else "removed"
            self.stdout.write(
                f"{workspace.slug}: {verb} {removed.checkpoints} checkpoints, {removed.values} values and "
                f"{removed.writes} pending writes of {removed.runs} runs, keeping {keep} of each."
            )
