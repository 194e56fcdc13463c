"""One PostgreSQL server in its home: initialise, launch, recognise, stop.

Nobody comes in over TCP. The unix socket is in a 0700 folder, and PostgreSQL asks the kernel who connects
(`peer`): only the user that started the server is let in, as the role that owns the database. There is no
password to keep.

The callers hold the home's start lock, so nothing here runs twice at once.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psutil
import psycopg

from agentplatform.embedded.errors import EmbeddedDatabaseError
from agentplatform.embedded.home import SOCKET_NAME, Home, make_socket_folder, remove_socket_folder
from agentplatform.embedded.programs import POSTGRESQL_MAJOR, program_folder

DATABASE = ROLE = "agentplatform"
# A server that was killed replays its log before it answers; that may take a while, and is not a failure.
START_SECONDS = 120.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.02
# Processes of a killed server may hold its shared memory for a moment longer.
LAUNCH_ATTEMPTS = 5
RELAUNCH_SECONDS = 0.5
LARGEST_LOG_BYTES = 10_000_000
SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "checkpoint_timeout": "15min",
    # There is no replication and no base backup of an embedded server (pg_dump works): its log need not serve
    # them.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "cluster_name": "agentplatform",
}
# Of the machine's memory for PostgreSQL's cache, of which it takes only what it uses.
CACHED_PART = 8
LEAST_CACHE, MOST_CACHE = 128, 1024
# Sorting and letter case follow Unicode, the same on every system, whichever locales that has.
INITDB_OPTIONS = (
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth-local=peer",
    "--auth-host=reject",
    "--no-instructions",
)


def url_of(home: Home, database: str = DATABASE) -> str:
    """The address of `database` in the server of `home`."""
    return f"postgresql://{ROLE}@/{database}?host={quote(str(home.socket))}"


class Server:
    """The server of one home, started by this process or by another one."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._child: subprocess.Popen[bytes] | None = None

    def ensure_running(self) -> None:
        """Return when the server accepts connections and has the application's database."""
        deadline = time.monotonic() + START_SECONDS
        launches = 0
        while not self.answers():
            if not self._is_alive():
                if launches == LAUNCH_ATTEMPTS:
                    raise self._failure("The database ended as soon as it was started.")
                time.sleep(RELAUNCH_SECONDS if launches else 0)
                self._launch()
                launches += 1
            elif time.monotonic() > deadline:
                raise self._failure(f"The database did not answer within {START_SECONDS:.0f} seconds.")
            time.sleep(POLL_SECONDS)
        self._create_database()

    def ensure_stopped(self) -> None:
        """Stop the server if it runs: open transactions are rolled back, sessions ended, data written."""
        process = self._process_named_in(self.home.data / "postmaster.pid")
        if process and not _ends(process, signal.SIGINT, STOP_SECONDS):
            _ends(process, signal.SIGQUIT, STOP_SECONDS)
        if self._child:
            self._child.poll()
        remove_socket_folder(self.home)

    def answers(self) -> bool:
        """Whether the server of this very cluster accepts connections."""
        if not (self.home.data / "postmaster.pid").exists():
            return False
        try:
            with self._connect() as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError:
            return False
        return row is not None and Path(row[0]) == self.home.data

    def _is_alive(self) -> bool:
        if self._child and self._child.poll() is None:
            return True
        return self._process_named_in(self.home.data / "postmaster.pid") is not None

    def _process_named_in(self, file: Path) -> psutil.Process | None:
        """The process whose number `file` begins with, if that is this cluster's server and no other."""
        try:
            process = psutil.Process(int(file.read_text().split("\n", 1)[0]))
            ours = (
                process.uids().effective == self.home.account.uid and str(self.home.data) in process.cmdline()
            )
        except (OSError, ValueError, psutil.Error):
            return None
        return process if ours else None

    def _launch(self) -> None:
        self._refuse_other_version()
        make_socket_folder(self.home)
        self._remove_leftovers()
        programs = program_folder(self.home.account)
        if not self.home.data.exists():
            self._initialise(programs)
        self._write_access_rules()
        command = [str(programs / "postgres"), "-D", str(self.home.data), *self._arguments()]
        with self._open_log() as log:
            self._child = self._explained(subprocess.Popen, command, log)

    def _refuse_other_version(self) -> None:
        version = self.home.data / "PG_VERSION"
        if version.exists() and (found := version.read_text().strip()) != POSTGRESQL_MAJOR:
            raise EmbeddedDatabaseError(
                f"{self.home.data} was made by PostgreSQL {found}, and this is {POSTGRESQL_MAJOR}."
                " Dump it with the platform's earlier version and load it into a new AGENTPLATFORM_DATA_DIR."
            )

    def _remove_leftovers(self) -> None:
        """Remove what a killed server left: PostgreSQL would take any process that got its number for it.

        A server whose data folder was deleted under it lives on for up to a minute, and would then remove the
        socket of the new one: it ends here.
        """
        socket = self.home.socket / SOCKET_NAME
        if orphan := self._process_named_in(socket.with_name(f"{SOCKET_NAME}.lock")):
            _ends(orphan, signal.SIGQUIT, STOP_SECONDS)
        for path in (self.home.data / "postmaster.pid", socket, socket.with_name(f"{SOCKET_NAME}.lock")):
            path.unlink(missing_ok=True)

    def _initialise(self, programs: Path) -> None:
        """Make the cluster under another name first: one half made is never taken for whole."""
        scratch = self.home.data.with_name("data.new")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        if self.home.account.identity:
            os.chown(scratch, self.home.account.uid, self.home.account.gid)
        command = [str(programs / "initdb"), "-D", str(scratch), "-U", ROLE, *INITDB_OPTIONS]
        with self._open_log() as log:
            finished = self._explained(subprocess.run, command, log)
        if finished.returncode:
            raise self._failure("The database could not be initialised.")
        scratch.rename(self.home.data)
        _sync_folder(self.home.folder)

    def _write_access_rules(self) -> None:
        """Let in the user that we are, on the kernel's word; everybody else finds no rule and is refused."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        rules = {
            "hba.conf": f"local all {ROLE} peer map=platform\n",
            "ident.conf": f'platform "{user}" {ROLE}\n',
        }
        for name, text in rules.items():
            (self.home.folder / name).write_text(text)
            (self.home.folder / name).chmod(0o644)

    def _arguments(self) -> list[str]:
        settings = {
            **SERVER_SETTINGS,
            "shared_buffers": f"{_cache_megabytes()}MB",
            "unix_socket_directories": '"{}"'.format(str(self.home.socket).replace('"', '""')),
            "hba_file": str(self.home.folder / "hba.conf"),
            "ident_file": str(self.home.folder / "ident.conf"),
        }
        return [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]

    def _explained(self, start: Any, command: list[str], log: IO[bytes]) -> Any:
        """Start `command` as the server's account, in a session of its own: Ctrl-C is for us alone."""
        try:
            return start(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                umask=0o077,
                start_new_session=True,
                **self.home.account.identity,
            )
        except OSError as error:
            raise EmbeddedDatabaseError(
                f"{command[0]} cannot be run as {self.home.account.name}: {error}."
            ) from error

    def _create_database(self) -> None:
        with self._connect() as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if not known:
                connection.execute(f'CREATE DATABASE "{DATABASE}"')

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(url_of(self.home, "postgres"), autocommit=True, connect_timeout=5)

    def _open_log(self) -> IO[bytes]:
        too_large = self.home.log.exists() and self.home.log.stat().st_size > LARGEST_LOG_BYTES
        return open(self.home.log, "wb" if too_large else "ab", opener=_privately)

    def _failure(self, sentence: str) -> EmbeddedDatabaseError:
        lines = self.home.log.read_text(errors="replace").splitlines()[-12:] if self.home.log.exists() else []
        return EmbeddedDatabaseError("\n".join([f"{sentence} The end of {self.home.log}:", *lines]))


def _cache_megabytes() -> int:
    part = psutil.virtual_memory().total // 2**20 // CACHED_PART
    return min(max(part, LEAST_CACHE), MOST_CACHE)


def _ends(process: psutil.Process, number: signal.Signals, seconds: float) -> bool:
    """Send the signal `number`; whether the process ends within `seconds`."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
        try:
            process.wait(seconds)
        except psutil.TimeoutExpired:
            return False
    return True


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
