"""The platform itself for tests: a real HTTP server and a real worker, on one event loop in a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any, ClassVar, Self

import uvicorn
from django.db import connection

from agentplatform.asgi import application
from agentplatform.lib.concurrency import in_thread
from runs.engine import sweep
from runs.engine.worker import Worker

START_SECONDS = 30
SETTLE_SECONDS = 15
# A sweep is a dozen statements, and few tests wait for one.
SWEEP_SECONDS = 2.0


class Platform:
    """A context manager. `url` is where it serves; `call` runs a coroutine on its loop."""

    running: ClassVar[Platform | None] = None

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="platform", daemon=True)
        self._server = uvicorn.Server(
            uvicorn.Config(application, port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=2)
        )

    def __enter__(self) -> Self:
        self._period, sweep.PERIOD_SECONDS = sweep.PERIOD_SECONDS, SWEEP_SECONDS
        self._thread.start()
        self.call(self._start())
        Platform.running = self
        return self

    def __exit__(self, *_: object) -> None:
        Platform.running = None
        self.call(self._stop())
        sweep.PERIOD_SECONDS = self._period
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=10)
        self.loop.close()

    @property
    def url(self) -> str:
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=START_SECONDS)

    def settle(self) -> None:
        """Returns when the worker has nothing in hand and nothing to write: the database may be emptied."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while jobs := self.call(in_thread(_jobs)):
            assert time.monotonic() < deadline, f"These jobs do not end: {jobs}"
            time.sleep(0.01)
        self.call(self.worker.journal.write_rows([]))

    async def _start(self) -> None:
        self.worker = Worker(concurrency=20)
        await self.worker.start()
        await self.worker.ready.wait()
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.01)

    async def _stop(self) -> None:
        self._server.should_exit = True
        await self._serving
        await self.worker.stop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _jobs() -> list[tuple[Any, ...]]:
    """What is left in the queue."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, status, args FROM procrastinate_jobs")
        return cursor.fetchall()
