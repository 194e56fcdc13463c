"""Makes the roll-ups of usage anew from the sealed entries of the ledger."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Workspace
from billing.rebuilding import rebuild


class Command(BaseCommand):
    help = "Compute the roll-ups of usage again from the ledger. May be run while the platform works."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", metavar="SLUG", help="only this one; default: all")

    def handle(self, *args: object, **options: Any) -> None:
        workspaces = Workspace.objects.order_by("slug")
        if slug := options["workspace"]:
            workspaces = workspaces.filter(slug=slug)
            if not workspaces:
                raise CommandError(f"There is no workspace {slug!r}.")
        for workspace in workspaces:
            for window in rebuild(workspace.pk):
                self.stdout.write(f"{workspace.slug}: {window.lower:%Y-%m-%d} to {window.upper:%Y-%m-%d}")
