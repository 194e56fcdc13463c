"""The embedded PostgreSQL: one server per data folder, shared by all processes that use it.

    with use_embedded(Path("var")) as url:
        ...                                  # psycopg.connect(url), or DATABASE_URL for Django

The first user starts the server, the last one to leave stops it. A user is known by a lock (`flock`) on the
lease file, which the kernel releases however the process ends. So a server can be left running when its last
user was killed; the next user finds it answering and takes it over.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from agentplatform.embedded.errors import EmbeddedDatabaseError
from agentplatform.embedded.home import Home, find_home, prepare_home
from agentplatform.embedded.server import Server, url_of

__all__ = ["EmbeddedDatabase", "EmbeddedDatabaseError", "embedded_url", "use_embedded"]


def embedded_url(data_dir: Path) -> str:
    """DATABASE_URL of the server of `data_dir`, whether it runs or not. Nothing is started or written."""
    return url_of(find_home(data_dir))


@contextmanager
def use_embedded(data_dir: Path) -> Iterator[str]:
    """Use the server of `data_dir`: started if it does not run, stopped by its last user. Gives its URL.

    Raises EmbeddedDatabaseError when it cannot be started.
    """
    database = EmbeddedDatabase(data_dir)
    with database.lease():
        yield database.url


class EmbeddedDatabase:
    """The server of one data folder.

    `start` and `stop` say what shall be, whoever else uses the server; `lease` is for those who share it.
    All raise EmbeddedDatabaseError when the server cannot be started.
    """

    def __init__(self, data_dir: Path) -> None:
        self.home: Home = _prepared(data_dir)
        self.url = url_of(self.home)
        self._server = Server(self.home)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server if it does not run; return when it accepts connections."""
        with self._starting_or_stopping():
            self._server.ensure_running()

    def stop(self) -> None:
        """Stop the server if it runs: open transactions are rolled back, sessions ended, data written."""
        with self._starting_or_stopping():
            self._server.ensure_stopped()

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Keep the server running in this block, together with all others that do."""
        with self._open("lease.lock") as lease:
            with self._starting_or_stopping():
                fcntl.flock(lease, fcntl.LOCK_SH)
                self._server.ensure_running()
            try:
                yield
            finally:
                self._leave(lease)

    def _leave(self, lease: int) -> None:
        with self._starting_or_stopping():
            try:
                fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # others still use it
                return
            self._server.ensure_stopped()

    @contextmanager
    def _starting_or_stopping(self) -> Iterator[None]:
        with self._open("start.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _open(self, name: str) -> Iterator[int]:
        descriptor = os.open(
            self.home.folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _prepared(data_dir: Path) -> Home:
    try:
        return prepare_home(data_dir)
    except OSError as error:
        raise EmbeddedDatabaseError(
            f"The database's folder cannot be prepared: {error}."
            " Set AGENTPLATFORM_DATA_DIR to a folder of yours."
        ) from error
