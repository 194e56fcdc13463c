"""`manage.py backup`: the whole installation in one file, while the platform runs."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit.commands import Audited
from agentplatform.backup.archive import complete_file
from agentplatform.backup.errors import BackupError
from agentplatform.backup.making import Made, make_backup


class Command(Audited, BaseCommand):
    help = (
        "Write database and files, as one moment had them, into FILE, which is there whole or not at all. Works beside "
        "the running platform. Keys are left out unless asked for. Bring it back with `restore`."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", metavar="FILE", help="a file that does not exist yet, or - for standard output"
        )
        parser.add_argument(
            "--with-keys",
            action="store_true",
            help="put SECRET_KEY, JWT_SECRET_KEY and FIELD_ENCRYPTION_KEYS in too",
        )

    def handle(self, *args: object, file: str, with_keys: bool, **options: Any) -> None:
        end_by_exception()
        try:
            if file == "-":
                made = make_backup(sys.stdout.buffer, with_keys=with_keys)
                sys.stdout.buffer.flush()
            else:
                with complete_file(Path(file)) as stream:
                    made = make_backup(stream, with_keys=with_keys)
        except BackupError as error:
            raise CommandError(str(error)) from error
        self._say(file, made)

    def _say(self, file: str, made: Made) -> None:
        # Standard output may be the backup itself.
        for warning in made.warnings:
            self.stderr.write(f"Note: {warning}")
        self.stderr.write(
            f"{'Written' if file == '-' else file}: {made.rows} rows ({made.database_bytes} bytes), {made.files} files"
            f" ({made.file_bytes} bytes). SHA-256 of its manifest: {made.digest}"
        )


def end_by_exception() -> None:
    """SIGTERM ends the process as Ctrl-C does: what is half done is taken back on the way."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
