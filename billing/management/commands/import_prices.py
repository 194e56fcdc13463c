"""`manage.py import_prices`: prices of the built-in list as rows of workspaces."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit.commands import Audited
from accounts.command_arguments import workspaces_named
from agentplatform.lib.decimals import plain
from agentplatform.lib.errors import PlatformError
from billing import price_import
from billing.models import Price


class Command(Audited, BaseCommand):
    help = (
        "Imports prices from the installed genai-prices into workspaces, whose own prices go before them. May be "
        "repeated: only what has changed is added, and nothing is overwritten."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--workspace", help="slug of one workspace")
        where.add_argument("--all", action="store_true", help="all workspaces in US dollars")
        parser.add_argument("--provider", default="", help="of this provider only, as the list names it")
        parser.add_argument("--model", default="", help="of this model only, by its id in the list")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be added")

    def handle(self, *args: Any, **options: Any) -> None:
        workspaces = workspaces_named(options["workspace"])
        models, passed_over = price_import.listed(options["provider"], options["model"])
        if not models and not passed_over:
            raise CommandError("The list has no such model with prices of input and output.")
        for provider, model in passed_over:
            self.stdout.write(f"{provider}/{model}: passed over, it costs more at some time of the day.")
        self.has_effect = False
        for workspace in workspaces:
            try:
                added = price_import.import_into(workspace, models, is_dry_run=options["dry_run"])
            except PlatformError as error:
                if options["workspace"]:
                    raise CommandError(error.message) from error
                self.stdout.write(f"{workspace.slug}: {error.message}")
                continue
            self.has_effect |= bool(added) and not options["dry_run"]
            for price in added:
                self.stdout.write(f"{workspace.slug}: {_said(price)}")
            verb = "would be added" if options["dry_run"] else "added"
            self.stdout.write(f"{workspace.slug}: {len(added)} prices of {len(models)} models {verb}.")


def _said(price: Price) -> str:
    until = " (never valid)" if price.valid_until == price.valid_from else ""
    return (
        f"{price.provider}/{price.model} from {price.valid_from:%Y-%m-%d}, version {price.version}{until}: "
        f"{plain(price.input_per_million)} in, {plain(price.output_per_million)} out"
    )
