"""`manage.py export_usage`: the ledger of a workspace as a file with its manifest, for whoever does so every month."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import APIException

from accounts.command_arguments import workspace_named
from accounts.models import Workspace
from agentplatform.lib.ids import uuid7
from billing.exports.manifests import Asking, Order
from billing.exports.options import COMPRESSIONS, DECIMALS, DELIMITERS, FORMATS, Options
from billing.exports.writing import write
from billing.models import UsageRecord
from billing.usage_filters import select

OPTIONS = ("format", "bom", "decimal", "delimiter", "tz", "compression")


class Command(BaseCommand):
    help = (
        "Writes the usage of a workspace into FILE, and FILE.manifest.json beside it, by which `verify_export` proves "
        "it later. Neither is there before both are complete."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", required=True, help="slug of the workspace")
        parser.add_argument("--output", required=True, type=Path, metavar="FILE")
        parser.add_argument("--start", help="from this moment, ISO 8601 (default: 30 days before the end)")
        parser.add_argument("--end", help="before this moment, ISO 8601 (default: now)")
        parser.add_argument(
            "--filter",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="as in the query string, for example agent=support; may be repeated",
        )
        parser.add_argument("--columns", default="", help="comma-separated, in this order")
        parser.add_argument("--format", choices=list(FORMATS), default="csv")
        parser.add_argument("--bom", action="store_true", help="by which Excel knows UTF-8")
        parser.add_argument("--decimal", choices=DECIMALS, default="point")
        parser.add_argument("--delimiter", choices=list(DELIMITERS), default=",")
        parser.add_argument("--tz", default="UTC", help="time zone of times, like Europe/Berlin")
        parser.add_argument("--compression", choices=COMPRESSIONS, default="none")

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = workspace_named(options["workspace"])
        try:
            manifest = _export(_order(workspace, options), options["output"])
        except APIException as error:
            raise CommandError(str(getattr(error, "message", error.detail))) from error
        self.stdout.write(
            f"{manifest['rows']} rows in {options['output']}, {manifest['file']['size']} bytes,"
            f" SHA-256 {manifest['file']['sha256']}."
        )


def _order(workspace: Workspace, options: dict[str, Any]) -> Order:
    names = [name.strip() for name in options["columns"].split(",") if name.strip()]
    chosen_options = Options.of({**{name: options[name] for name in OPTIONS}, "columns": names})
    filters = dict(_pair(text) for text in options["filter"])
    filters |= {name: options[name] for name in ("start", "end") if options[name]}
    records = UsageRecord.objects.filter(workspace=workspace).settled()
    chosen = select(filters, records)
    period = {"start": chosen.period.start.isoformat(), "end": chosen.period.end.isoformat()}
    return Order(
        uuid7(),
        workspace,
        chosen.qs,
        filters | period,
        chosen.period,
        chosen_options,
        Asking(),
        of_one_run=chosen.is_of_one_run,
    )


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise CommandError(f"--filter {text}: use NAME=VALUE, for example agent=support.")
    return name, value


def _export(order: Order, output: Path) -> dict[str, Any]:
    """Both files under other names first."""
    part, manifest_path = _beside(output, ".part"), _beside(output, ".manifest.json")
    try:
        with part.open("w+b") as file:
            manifest = write(order, file, lambda rows: None)
            file.flush()
            os.fsync(file.fileno())
        written = _beside(manifest_path, ".part")
        written.write_text(json.dumps(manifest, indent=2) + "\n")
        part.replace(output)
        written.replace(manifest_path)
    except OSError as error:
        raise CommandError(f"{error.filename or output}: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
    return manifest


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
