"""`manage.py export_config`: a workspace's configuration as YAML, for Git."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.actors import platform_actor
from accounts.audit.commands import Audited
from accounts.command_arguments import workspace_named
from agents.configuration.exporting import export


class Command(Audited, BaseCommand):
    help = "Writes a workspace's whole configuration as YAML: no ids, no times, no secrets, always in the same order."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", required=True, help="slug of the workspace")
        parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")

    def handle(self, *args: Any, workspace: str, output: Path | None, **options: Any) -> None:
        text = export(platform_actor(workspace_named(workspace), "export_config"))
        if output is None:
            self.stdout.write(text, ending="")
            return
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}.") from error
