"""A `redis-server` of one's own, on a free port, that stores nothing."""

from __future__ import annotations

import shutil
import subprocess
import time
from tempfile import TemporaryDirectory
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from bench.platform import free_port

START_SECONDS = 10
POLL_SECONDS = 0.02


def is_installed() -> bool:
    return shutil.which("redis-server") is not None


class RedisServer:
    """A context manager; further `options` are those of the command line."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = TemporaryDirectory()
        self._options = options

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder.name]
        options += self._options
        self._process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > until:
                raise RuntimeError("redis-server does not start.")
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(START_SECONDS)

    def _answers(self) -> bool:
        try:
            with Redis(port=self.port) as client:
                return bool(client.ping())
        except RedisError:
            return False
