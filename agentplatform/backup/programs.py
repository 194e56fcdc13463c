"""PostgreSQL's own programs for dumping and loading, of the version that the server asks for.

`pg_dump` reads servers of its own version and of older ones, never newer ones. So the oldest that is new enough is
taken: of Debian's folders, of the PATH, or of the package that brings the embedded database (PostgreSQL 18, no TLS).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection
from psycopg.conninfo import make_conninfo

from agentplatform.backup.errors import BackupError
from agentplatform.embedded.errors import EmbeddedDatabaseError
from agentplatform.embedded.programs import client_program_folder

DEBIAN = Path("/usr/lib/postgresql")
NEEDED = ("pg_dump", "pg_restore", "psql")
# What Django and its pool add to the parameters of a connection, and programs do not know.
NOT_OF_LIBPQ = {"pool", "cursor_factory", "context", "prepare_threshold", "client_encoding", "password"}
_ENGLISH = {"LC_ALL": "C"}
WITHOUT_TLS = (None, "", "disable", "allow", "prefer")


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder that has `NEEDED`, all of one version."""

    folder: Path
    major: int
    version: str

    def command(self, name: str, *options: str) -> list[str]:
        return [str(self.folder / name), *options]


def programs_for(server_major: int) -> Programs:
    """The programs for a server of this major version. Raises BackupError where there are none."""
    found = sorted(_all_found(), key=lambda programs: programs.major)
    for programs in found:
        if programs.major >= server_major:
            return programs
    known = ", ".join(f"{programs.version} in {programs.folder}" for programs in found) or "none"
    raise BackupError(
        f"The database is PostgreSQL {server_major}, whose pg_dump, pg_restore and psql are not here (found: {known})."
        f" Install PostgreSQL's client programs of version {server_major} or newer, and have them in PATH."
    )


def server_version() -> tuple[int, str]:
    """The major version of the database's server, and the whole of it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version')"
        )
        major, version = cursor.fetchone()
    return major, version.split()[0]


def address() -> str:
    """The database's address for a program's `--dbname`. It has no password: that is in `environment`."""
    parameters: dict[str, Any] = connection.get_connection_params()
    return make_conninfo(**{name: value for name, value in parameters.items() if name not in NOT_OF_LIBPQ})


def environment() -> dict[str, str]:
    """The environment of a program: the password stands here, because everybody may read command lines."""
    password = connection.get_connection_params().get("password")
    return {**os.environ, **_ENGLISH, **({"PGPASSWORD": str(password)} if password else {})}


def _all_found() -> Iterator[Programs]:
    for folder in dict.fromkeys(folder.resolve() for folder in _folders()):
        if all(os.access(folder / name, os.X_OK) for name in NEEDED) and (found := _asked(folder)):
            yield found


def _folders() -> Iterator[Path]:
    # Debian's pg_dump in /usr/bin is a wrapper that chooses a version by itself: the real ones go before it.
    yield from sorted(DEBIAN.glob("*/bin"))
    if program := shutil.which("pg_dump"):
        yield Path(program).parent
    # It is built without TLS, so it is of no use where the address asks for that.
    if connection.get_connection_params().get("sslmode") in WITHOUT_TLS:
        with suppress(EmbeddedDatabaseError):
            yield client_program_folder()


def _asked(folder: Path) -> Programs | None:
    try:
        answer = subprocess.run(
            [str(folder / "pg_dump"), "--version"], capture_output=True, text=True, timeout=10, env=_ENGLISH
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"(\d+)(\.\d+)*", answer.stdout)
    return Programs(folder, int(version[1]), version[0]) if version else None
