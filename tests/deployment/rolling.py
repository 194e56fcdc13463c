"""An installation as compose.yaml has it, on one machine: proxy, two web processes, two workers, Redis, PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from bench.platform import free_port
from tests.crash.followers import client_of
from tests.crash.services import RedisServer
from tests.processes import PROJECT, Process, database_url, process

API = "/api/v1"
# As the Dockerfile starts it.
WEB = (
    "-m", "uvicorn", "agentplatform.asgi:application", "--host", "127.0.0.1", "--lifespan", "on",
    "--no-access-log", "--no-server-header", "--no-proxy-headers", "--timeout-graceful-shutdown", "30", "--port",
)  # fmt: skip
WORKER = ("manage.py", "run_worker")
ENVIRONMENT = {
    "CHAT_RATE": "100000/minute",
    "WEB_DRAIN_SECONDS": "4",
    "AGENTPLATFORM_EMBEDDED_WORKER": "false",
    "TRUSTED_PROXIES": "1",
}
STOPS_WITHIN_SECONDS = 60
STARTS_WITHIN_SECONDS = 60


class Installation:
    """See the module. `webs` are the addresses of the web processes, `url` is the proxy's."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._processes: dict[str, Process] = {}
        self._ports = {name: free_port() for name in ("web-1", "web-2")}
        self.webs = [f"http://127.0.0.1:{port}" for port in self._ports.values()]
        self.url = ""

    async def __aenter__(self) -> Installation:
        redis = self._stack.enter_context(RedisServer())
        self._environment = {**ENVIRONMENT, "REDIS_URL": redis.url}
        try:
            await asyncio.gather(*map(self.start, ("web-1", "web-2", "worker-1", "worker-2")))
            self.url = self._stack.enter_context(proxy(self.webs))
            await answers(f"{self.url}{API}/health/liveness")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._stack.close)

    async def start(self, name: str) -> None:
        """Starts a process; returns when it is ready."""
        if name.startswith("worker"):
            worker = process(*WORKER, ready="is ready", **self._environment)
            self._processes[name], _ = await asyncio.to_thread(self._stack.enter_context, worker)
            return
        port = self._ports[name]
        environment = {**os.environ, **self._environment, "DATABASE_URL": database_url()}
        web = background_process([sys.executable, *WEB, str(port)], environment)
        self._processes[name] = self._stack.enter_context(web)
        await answers(f"http://127.0.0.1:{port}{API}/health/readiness")

    async def restart(self, name: str) -> None:
        """As a container is: SIGTERM, its whole grace period, and a new one in its place."""
        old = self._processes[name]
        old.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(old.wait, STOPS_WITHIN_SECONDS) in (0, -signal.SIGTERM)
        await self.start(name)


@contextmanager
def proxy(webs: Sequence[str], **environment: str) -> Iterator[str]:
    """Caddy in front of these web processes, as deploy/Caddyfile has it; its address."""
    port = free_port()
    where = {
        "SITE_ADDRESS": f":{port}",
        "WEB_PROCESSES": " ".join(url.removeprefix("http://") for url in webs),
    }
    command = ["caddy", "run", "--config", "deploy/Caddyfile", "--adapter", "caddyfile"]
    with background_process(command, {**os.environ, "HOME": "/nonexistent", **where, **environment}):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def background_process(command: list[str], environment: dict[str, str]) -> Iterator[Process]:
    """A process whose output nobody reads. Killed at the end if it still lives."""
    begun = subprocess.Popen(
        command,
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield begun
    finally:
        begun.kill()
        begun.wait(10)


async def answers(url: str) -> None:
    """Returns when `url` answers 200."""
    until = time.monotonic() + STARTS_WITHIN_SECONDS
    async with client_of({}) as client:
        while time.monotonic() < until:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


class Load:
    """Clients that ask one request after the other until they are told to stop; what has failed is kept."""

    def __init__(self, request: Callable[[httpx.AsyncClient, int], Any], clients: int) -> None:
        self.count = 0
        self.failed: list[str] = []
        self._request = request
        self._clients = clients
        self._stops = asyncio.Event()

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stops.set()
        await asyncio.gather(*self._tasks)

    async def _ask(self) -> None:
        async with client_of({}) as client:
            while not self._stops.is_set():
                self.count += 1
                try:
                    answer = await self._request(client, self.count)
                    if answer.status_code >= 400:
                        self.failed.append(
                            f"{answer.request.method} {answer.status_code} {answer.text[:200]}"
                        )
                except httpx.HTTPError as error:
                    self.failed.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(0.1)
