"""What tests of the embedded database share: folders for a moment, and users in processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

PROJECT = Path(__file__).resolve().parent.parent.parent
# Says the server's address as soon as it may be used, and uses it until its standard input ends.
USER = """
import sys
from pathlib import Path
from agentplatform.database import use_embedded
try:
    with use_embedded(Path(sys.argv[1])) as url:
        print(url, flush=True)
        sys.stdin.read()
except KeyboardInterrupt:
    sys.exit(130)
"""


class User:
    """A process that uses the embedded server of `data_dir`."""

    def __init__(
        self, data_dir: Path, command: tuple[str, ...] = (sys.executable,), **options: object
    ) -> None:
        self.process = subprocess.Popen(
            [*command, "-c", USER, str(data_dir)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )

    def url(self) -> str:
        """Wait until the server may be used. Empty when the process failed."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def leave(self) -> int:
        """Stop using the server; the exit code."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(30)

    def die(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def interrupt(self) -> int:
        """What Ctrl-C does: SIGINT to all processes in the foreground."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(30)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A new folder that every account may enter (pytest's own are private), with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url):
            return True
    except psycopg.OperationalError:
        return False


def ask(url: str, query: str) -> str:
    """The single value that `query` gives."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row
    return row[0]
