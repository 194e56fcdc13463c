"""`manage.py run_worker`: a worker process of its own."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from agentplatform.lib.process import settle_process, tune_process
from agentplatform.observability import process as observability
from runs.alive import show_alive


class Command(BaseCommand):
    help = "Executes runs. Stops well on SIGTERM and Ctrl-C: finishes what it can, hands the rest back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", type=int, help="runs at once (default: WORKER_CONCURRENCY)")

    def handle(self, *args: Any, **options: Any) -> None:
        tune_process()
        observability.start()
        with _metrics(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run(options["concurrency"]))

    async def _run(self, concurrency: int | None) -> None:
        # Imported here because it brings the model libraries along, which no other command needs.
        from runs.engine.worker import Worker

        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        worker = Worker(concurrency)
        await worker.start()
        alive = asyncio.create_task(show_alive(Path(path))) if (path := settings.WORKER_ALIVE_FILE) else None
        await worker.ready.wait()
        self.stdout.write(f"Worker {worker.id} is ready, {worker.concurrency} runs at once.")
        self.stdout.flush()
        await worker.warm_up()
        settle_process()
        await stop.wait()
        self.stdout.write("Stopping …")
        await worker.stop()
        if alive:
            alive.cancel()
            await asyncio.gather(alive, return_exceptions=True)
        await observability.stop()


def _metrics() -> AbstractContextManager[Any]:
    """The worker's own `/metrics`, where METRICS_PORT asks for it."""
    if not settings.METRICS_PORT:
        return nullcontext()
    from agentplatform.observability.listener import listening

    return listening(settings.METRICS_HOST, settings.METRICS_PORT)
