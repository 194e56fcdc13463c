"""`manage.py restore`: a backup back into an empty database, with proof that it is what it was."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit.commands import Audited
from agentplatform.backup.archive import ArchiveReader
from agentplatform.backup.errors import BackupError
from agentplatform.backup.restoring import prove, restore
from agentplatform.management.commands.backup import end_by_exception
from agentplatform.management.commands.init_db import create_database_if_missing


class Command(Audited, BaseCommand):
    help = (
        "Verify FILE, a backup, and bring it back: files into the storage, the database in one transaction. Then "
        "verify the ledger and reconcile all sums with it. Ends with status 1 where something is not as it was."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument(
            "--replace",
            action="store_true",
            help="restore into a database that is not empty: it is emptied first",
        )
        parser.add_argument("--verify-only", action="store_true", help="only say whether the file is whole")

    def handle(self, *args: object, file: Path, replace: bool, verify_only: bool, **options: Any) -> None:
        self.has_effect = False
        end_by_exception()
        try:
            with ArchiveReader(file) as archive:
                archive.verify()
                made_at, version = archive.manifest["made_at"], archive.manifest["platform"]
                self.stdout.write(f"The backup of {made_at} (version {version}) is whole.")
                if not verify_only:
                    self._restore(archive, replace)
        except BackupError as error:
            raise CommandError(str(error)) from error

    def _restore(self, archive: ArchiveReader, replaces: bool) -> None:
        create_database_if_missing()
        for step in restore(archive, replaces=replaces):
            self.stdout.write(step)
        self.has_effect = True
        wrong = 0
        for finding in prove(archive):
            wrong += not finding.is_right
            self.stdout.write(f"{'Right' if finding.is_right else 'WRONG'}: {finding.text}")
        if wrong:
            raise CommandError(
                f"{wrong} of the proofs have failed: do not start the platform on this database."
            )
        self.stdout.write("Restored.")
