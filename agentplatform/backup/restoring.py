"""Brings a backup back, and proves that it has: rows, ends of chains, keys, then the ledger and all sums of it."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import IO, Any

import psycopg
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection

from agentplatform.backup.archive import BLOCK_BYTES, DATABASE, ArchiveReader
from agentplatform.backup.errors import BackupError
from agentplatform.backup.loading import load
from agentplatform.backup.programs import programs_for, server_version
from agentplatform.backup.state import State, ends_of_chains, known_migrations, table_names
from agentplatform.lib.rotation import encrypted_columns, locked_values
from agentplatform.migrating import migrate_if_needed

CLOSING_SECONDS = 3
# Of sessions of other roles one sees no more than who they are; the server's own processes are nobody's.
OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one of the proofs has shown."""

    is_right: bool
    text: str


def restore(archive: ArchiveReader, *, replaces: bool) -> Iterator[str]:
    """Restores what was verified already; says what it has done. Raises BackupError.

    Files come first: one that the database does not know does no harm, one that it misses does.
    """
    state, manifest = State.of(archive.manifest), archive.manifest
    major, _version = server_version()
    _refuse_newer(state, manifest, major)
    _refuse_full(replaces)
    count = _restore_files(archive)
    yield f"{count} files are in the storage."
    if manifest["files"]["storage"] == "bucket":
        yield "The files were in a bucket and are not in the backup: STORAGE_URL has to name it, or a copy of it."
    load(programs_for(_dump_major(manifest, major)), archive.blocks(DATABASE), state.rows, empties=replaces)
    connection.close()
    yield f"{len(state.rows)} tables with {sum(state.rows.values())} rows are in the database, as many as there were."
    if applied := migrate_if_needed():
        yield f"{applied} migrations were applied: the backup was made by an earlier version ({manifest['platform']})."


def prove(archive: ArchiveReader) -> Iterator[Finding]:
    """What can be proven of the database after a restore."""
    yield _heads(State.of(archive.manifest))
    yield _secrets()
    yield _command(
        "verify_ledger", "If it says unsigned, SECRET_KEY is not the one that the ledger was signed with."
    )
    yield _command("reconcile", "docs/operations.md says what the sums are.")


def _dump_major(manifest: dict[str, Any], server_major: int) -> int:
    """pg_restore reads dumps of its own version and of older ones."""
    return max(server_major, int(manifest["pg_dump"].split(".")[0]))


def _refuse_newer(state: State, manifest: dict[str, Any], major: int) -> None:
    was = int(manifest["postgresql"].split(".")[0])
    if was > major:
        raise BackupError(
            f"The backup is of PostgreSQL {was}, and this database is {major}, which is older. Restore it into"
            f" PostgreSQL {was} or newer."
        )
    if unknown := sorted(set(state.migrations) - known_migrations()):
        raise BackupError(
            f"The backup was made by a newer version of the platform ({manifest['platform']}): this one does not know"
            f" {', '.join(unknown[:5])}. Install that version, then restore."
        )


def _refuse_full(replaces: bool) -> None:
    if not table_names():
        return
    if not replaces:
        raise BackupError(
            "The database is not empty. Restore into an empty one, or say --replace: everything that is in it is"
            " removed then."
        )
    if others := _other_connections():
        raise BackupError(
            f"{others} other connections use the database. Stop web processes and workers first."
        )


def _other_connections() -> int:
    """How many there are besides this process's. Those that have just been closed take a moment to go."""
    parameters = connection.get_connection_params()
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    with psycopg.connect(**parameters, autocommit=True) as own:
        for _ in range(CLOSING_SECONDS):
            if not (others := own.execute(OTHERS).fetchall()[0][0]):
                return 0
            time.sleep(1)
    return int(others)


def _restore_files(archive: ArchiveReader) -> int:
    names = list(archive.files())
    for name in names:
        with archive.open_file(name) as part:
            digest = _digest(part)
        if default_storage.exists(name):
            with default_storage.open(name) as stored:
                if _digest(stored) == digest:
                    continue
            # Files are never changed, so this is one that a restore has left half written.
            default_storage.delete(name)
        with archive.open_file(name) as part:
            default_storage.save(name, File(part))
    return len(names)


def _digest(file: IO[bytes] | File[bytes]) -> bytes:
    digest = hashlib.sha256()
    while block := file.read(BLOCK_BYTES):
        digest.update(block)
    return digest.digest()


def _heads(state: State) -> Finding:
    now = ends_of_chains()
    count = sum(map(len, state.heads.values()))
    if now == state.heads:
        return Finding(True, f"All {count} chains end where they ended.")
    return Finding(False, f"Chains end elsewhere than in the backup: {state.heads} then, {now} now.")


def _secrets() -> Finding:
    locked = sum(locked_values(model, name) for model, name in encrypted_columns())
    if not locked:
        return Finding(True, "FIELD_ENCRYPTION_KEYS opens all stored secrets.")
    return Finding(
        False,
        f"No key of FIELD_ENCRYPTION_KEYS opens {locked} of the stored secrets. Add the key that was in use when the"
        " backup was made.",
    )


def _command(name: str, remedy: str) -> Finding:
    output = io.StringIO()
    try:
        with redirect_stdout(output):
            call_command(name, stdout=output)
    except CommandError as error:
        return Finding(False, f"{name}: {output.getvalue()}{error} {remedy}")
    except SystemExit:
        return Finding(False, f"{name}: {output.getvalue()}{remedy}")
    return Finding(True, f"{name}: {output.getvalue().strip()}")
