"""The ASGI application: HTTP to Django, WebSocket to the consumers, and the process's start and stop."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
from collections.abc import Callable, MutableMapping
from typing import Any, cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentplatform.settings")
django_application = get_asgi_application()

import structlog  # noqa: E402 (Django has to be set up before anything that uses models)
from asgiref.sync import sync_to_async  # noqa: E402
from channels.routing import URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402
from django.urls import re_path  # noqa: E402

from accounts.security.writing import write_noted  # noqa: E402
from agentplatform.lib.body_limit import Application, BodyLimit, Receive, Send, largest_body  # noqa: E402
from agentplatform.lib.concurrency import in_thread  # noqa: E402
from agentplatform.lib.process import settle_process, tune_process  # noqa: E402
from agentplatform.lib.request_end import ending  # noqa: E402
from agentplatform.observability import process as observability  # noqa: E402
from agents.configuration.folder import load_configured  # noqa: E402
from agents.mcp import pool as mcp_sessions  # noqa: E402
from runs.consumers import refuse_unknown_socket  # noqa: E402
from runs.live import hub  # noqa: E402
from runs.routing import websocket_urlpatterns  # noqa: E402

logger = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]

http_application = ending(
    BodyLimit(cast(Application, ASGIStaticFilesHandler(django_application)), largest_body)
)
websocket_application = ending(
    cast(Any, URLRouter([*websocket_urlpatterns, re_path("", cast(Any, refuse_unknown_socket))]))
)


class Process:
    """What lives as long as the process: the hub, and the worker when this process has one."""

    def __init__(self) -> None:
        self.worker: Any = None
        # Asked to stop, and serving until proxies have noticed that it is not ready any more.
        self.leaving = False
        self._warming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        tune_process()
        observability.start()
        # The URL map, and with it every view, is imported before the first request has to wait for it.
        await asyncio.to_thread(importlib.import_module, settings.ROOT_URLCONF)
        if settings.CONFIG_DIR:
            await sync_to_async(load_configured)()
        self._drain_on_signal()
        if settings.EMBEDDED_WORKER:
            self._warming = asyncio.create_task(self._start_worker())
        else:
            settle_process()

    async def _start_worker(self) -> None:
        """Beside serving, because the model libraries take a second or two to import."""
        module = await asyncio.to_thread(importlib.import_module, "runs.engine.worker")
        self.worker = module.Worker()
        await self.worker.start()
        await self.worker.warm_up()
        settle_process()

    def _drain_on_signal(self) -> None:
        """At SIGTERM every stream has to end by itself: no ASGI server ends one.

        Before that, for WEB_DRAIN_SECONDS, the process serves on and says that it is not ready: a proxy in front takes
        it out, and no request comes to a closed door. Asked twice, or by Ctrl-C, it goes at once.
        """
        loop, own_hub = asyncio.get_running_loop(), hub()
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)

            def end(received: int, frame: Any = None, before: Any = before) -> None:
                loop.call_soon_threadsafe(own_hub.drain)
                if callable(before):
                    before(received, frame)

            def leave(received: int, frame: Any, end: Callable[..., None] = end) -> None:
                waits = received == signal.SIGTERM and settings.WEB_DRAIN_SECONDS and not self.leaving
                self.leaving = True
                if waits:
                    loop.call_soon_threadsafe(loop.call_later, settings.WEB_DRAIN_SECONDS, end, received)
                else:
                    end(received, frame)

            signal.signal(number, leave)

    async def stop(self) -> None:
        hub().drain()
        if self._warming:
            await asyncio.gather(self._warming, return_exceptions=True)
        if self.worker:
            await self.worker.stop()
        await in_thread(write_noted)
        await mcp_sessions.close()
        await hub().stop()
        await observability.stop()


process = Process()


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await process.start()
            await send({"type": "lifespan.startup.complete"})
        else:
            await process.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await http_application(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket_application(scope, receive, send)
    else:
        await lifespan(receive, send)
