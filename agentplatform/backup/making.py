"""Makes a backup beside the running platform: what one moment had, and every file that it knew of."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection, transaction

from agentplatform.backup.archive import BLOCK_BYTES, DATABASE, FILES, FORMAT, SECRETS, ArchiveWriter
from agentplatform.backup.errors import BackupError
from agentplatform.backup.programs import Programs, address, environment, programs_for, server_version
from agentplatform.backup.state import State, applied_migrations

OPTIONS = (
    "--format=custom",
    # Roles and their rights are the server's: on another one they may have other names.
    "--no-owner",
    "--no-privileges",
    # None is needed, and one that this server has, the next need not have.
    "--extension=plpgsql",
    "--lock-wait-timeout=60s",
    "--no-password",
)
KEYS = ("SECRET_KEY", "JWT_SECRET_KEY", "FIELD_ENCRYPTION_KEYS")


@dataclass(slots=True)
class Made:
    """What has been written. `digest` is the SHA-256 of the manifest: noted elsewhere, it proves the whole backup."""

    rows: int
    database_bytes: int
    digest: str = ""
    files: int = 0
    file_bytes: int = 0
    warnings: list[str] = field(default_factory=list)


def make_backup(stream: IO[bytes], *, with_keys: bool = False) -> Made:
    """Writes a backup of database and files into `stream`. Raises BackupError."""
    major, version = server_version()
    programs = programs_for(major)
    archive = ArchiveWriter(stream)
    with _snapshot() as snapshot:
        if not applied_migrations():
            raise BackupError("There is nothing in the database to back up. Is DATABASE_URL the right one?")
        state = State.read()
        made = Made(sum(state.rows.values()), archive.add(DATABASE, _dump(programs, snapshot)))
    kind = _add_files(archive, made)
    if with_keys:
        archive.add(SECRETS, [json.dumps(_keys(), indent=2).encode() + b"\n"])
    made.warnings.append(_warning_of_keys(with_keys))
    made.digest = archive.close(
        {
            "format": FORMAT,
            "made_at": datetime.now(UTC).isoformat(),
            "platform": settings.VERSION,
            "postgresql": version,
            "pg_dump": programs.version,
            "keys": with_keys,
            "files": {"storage": kind, "count": made.files, "bytes": made.file_bytes},
            **state.document(),
        }
    )
    return made


@contextmanager
def _snapshot() -> Iterator[str]:
    """The name of the moment that everything in the block is read at, here and by pg_dump."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # It waits for pg_dump for as long as that takes.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_export_snapshot()")
        (name,) = cursor.fetchone()
        yield name


def _dump(programs: Programs, snapshot: str) -> Iterator[bytes]:
    command = programs.command("pg_dump", *OPTIONS, f"--snapshot={snapshot}", f"--dbname={address()}")
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, env=environment()
        ) as process:
            assert process.stdout is not None
            try:
                while block := process.stdout.read(BLOCK_BYTES):
                    yield block
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise BackupError(f"pg_dump {programs.version} has failed: {said(complaints)}")


def said(complaints: IO[bytes]) -> str:
    """The beginning of what a program has written into its standard error."""
    complaints.seek(0)
    return complaints.read().decode(errors="replace").strip()[:2000]


def _add_files(archive: ArchiveWriter, made: Made) -> str:
    """After the database, so that all that it knows of are there. A file that is deleted meanwhile is left out."""
    if hasattr(default_storage, "bucket"):
        made.warnings.append(
            "Files are in a bucket (STORAGE_URL) and not in this backup: copy it, or keep its versions, from now on."
        )
        return "bucket"
    for name in stored_names():
        try:
            file = default_storage.open(name)
        except FileNotFoundError:
            continue
        with file:
            made.file_bytes += archive.add(FILES + name, file.chunks(BLOCK_BYTES))
        made.files += 1
    return "folder"


def stored_names(folder: str = "") -> Iterator[str]:
    """The names of all files in the storage's folder, as the database knows them."""
    try:
        folders, names = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    prefix = f"{folder}/" if folder else ""
    yield from (prefix + name for name in sorted(names))
    for name in sorted(folders):
        yield from stored_names(prefix + name)


def _keys() -> dict[str, Any]:
    """As `secrets.json` in the data folder has them, so that the part can be put there."""
    values = (
        settings.SECRET_KEY,
        ",".join(settings.JWT_SECRET_KEYS),
        ",".join(settings.FIELD_ENCRYPTION_KEYS),
    )
    return dict(zip(KEYS, values, strict=True))


def _warning_of_keys(with_keys: bool) -> str:
    if with_keys:
        return f"{SECRETS} is in this backup: whoever has the file can read all its secrets, and sign as the platform."
    return f"No keys are in this backup. Keep {', '.join(KEYS)} in another place: without them its secrets are lost."
