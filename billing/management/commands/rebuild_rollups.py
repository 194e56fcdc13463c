"""Makes the roll-ups of usage anew from the sealed entries of the ledger."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.command_arguments import workspaces_named
from billing.rebuilding import rebuild


class Command(BaseCommand):
    help = "Compute the roll-ups of usage again from the ledger. May be run while the platform works."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", metavar="SLUG", help="only this one; default: all")

    def handle(self, *args: object, **options: Any) -> None:
        for workspace in workspaces_named(options["workspace"]):
            for window in rebuild(workspace.pk):
                self.stdout.write(f"{workspace.slug}: {window.lower:%Y-%m-%d} to {window.upper:%Y-%m-%d}")
