"""The PostgreSQL and the Redis of the suite's own, which it kills, stops and brings back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
from django.db import connection

from agentplatform.database import EmbeddedDatabase
from bench import redis_server

START_SECONDS = 10


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


class RedisServer(redis_server.RedisServer):
    """A `redis-server` that can be stopped and brought back."""

    def __init__(self, *options: str) -> None:
        assert redis_server.is_installed(), "The crash suite needs redis-server; apt-get install redis-server"
        super().__init__(*options)

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
        self.kill()
        try:
            yield
        finally:
            await asyncio.to_thread(self.start)
