"""`manage.py verify_export`: proves that a file is as it was exported, and that the ledger still is as it was then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.exports.proofs import prove

BLOCK_BYTES = 1024 * 1024


class Command(BaseCommand):
    help = (
        "Compares FILE with MANIFEST (hash, and where that differs rows and sums), the manifest with its signature, "
        "and the ledger's chain with where it stood then. Ends with 1 where anything differs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument(
            "manifest", type=Path, metavar="MANIFEST", nargs="?", help="default: FILE.manifest.json"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            manifest = _manifest(options["manifest"] or path.with_name(f"{path.name}.manifest.json"))
            proof = prove(manifest, lambda: _blocks(path))
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from error
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not proof.is_intact:
            told = "\n".join(f"{one.check}: {one.message}" for one in proof.differences)
            raise CommandError(f"{path} is not as it was exported:\n{told}")
        position = manifest["ledger"]["position"]
        self.stdout.write(
            f"{path} is as it was exported: {manifest['rows']} rows; the ledger's chain is unchanged at position"
            f" {position}."
        )


def _manifest(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise CommandError(f"{path} is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise CommandError(f"{path} is no manifest of an export.")
    return found


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
