"""The PostgreSQL and the Redis of the suite's own, which it kills, stops and brings back."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import psutil
from django.db import connection
from redis import Redis
from redis.exceptions import RedisError

from agentplatform.database import EmbeddedDatabase
from bench.platform import free_port

START_SECONDS = 10
POLL_SECONDS = 0.02


class Database:
    """The embedded PostgreSQL that the tests run on."""

    def __init__(self) -> None:
        self._server = EmbeddedDatabase(Path(os.environ["AGENTPLATFORM_DATA_DIR"]))

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Killed without warning; started again after the block, when it replays its log."""
        await asyncio.to_thread(self._kill)
        try:
            yield
        finally:
            await asyncio.to_thread(self._restart)

    def _kill(self) -> None:
        number = (self._server.home.data / "postmaster.pid").read_text().split()[0]
        process = psutil.Process(int(number))
        process.kill()
        process.wait(START_SECONDS)

    def _restart(self) -> None:
        self._server.start()
        # The connections that this process had are of no use to the tests any more.
        connection.pool.check()


class RedisServer:
    """A `redis-server` on a free port, that stores nothing."""

    def __init__(self, *options: str) -> None:
        assert shutil.which("redis-server"), (
            "The crash suite needs redis-server; apt-get install redis-server"
        )
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = TemporaryDirectory()
        self._options = options

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(START_SECONDS)
        self._folder.cleanup()

    @asynccontextmanager
    async def hanging(self) -> AsyncIterator[None]:
        """It takes connections and answers nobody."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Nobody listens at its port."""
        self._process.kill()
        self._process.wait(START_SECONDS)
        try:
            yield
        finally:
            await asyncio.to_thread(self._start)

    def _start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder.name]
        options += self._options
        self._process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < until, "redis-server does not start"
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        try:
            with Redis(port=self.port) as client:
                return bool(client.ping())
        except RedisError:
            return False
