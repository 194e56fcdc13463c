"""The real platform, started as its users start it, over a data folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from bench.connection import Connection, RequestFailed
from bench.processes import Cost, cpu_cost, end, memory_cost

PROJECT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
API = "/api/v1"
HEALTHY_SECONDS = 60.0
POLL_SECONDS = 0.02
# Thousands of requests come from one address, for longer than a token lasts; the models are on this machine.
ENVIRONMENT = {
    "CHAT_RATE": "1000000/minute",
    "LOGIN_RATE": "1000000/minute",
    "OUTBOUND_ALLOWED_HOSTS": HOST,
    "ACCESS_TOKEN_EXPIRE_MINUTES": "600",
    "DATABASE_URL": "",
    "OPENAI_API_KEY": "",
    # As on a user's machine: from the second start on, the project's own modules are compiled too.
    "PYTHONDONTWRITEBYTECODE": "",
}


class Platform:
    """`manage.py run_platform`; with `redis_url` the worker is a process apart, as on larger machines.

    Its data lie in `data_dir`, which is left as it is; without one, in a folder that is removed afterwards.
    """

    def __init__(self, redis_url: str = "", data_dir: Path | None = None) -> None:
        self._is_kept = data_dir is not None
        self.data_dir = (data_dir or Path(tempfile.mkdtemp(prefix="agentplatform-bench-"))).resolve()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o755)
        self.port = free_port()
        self.has_worker_apart = bool(redis_url)
        self._log = (self.data_dir / "bench.log").open("wb")
        self.environment = {
            **os.environ,
            **ENVIRONMENT,
            "AGENTPLATFORM_DATA_DIR": str(self.data_dir),
            "AGENTPLATFORM_EMBEDDED_WORKER": "false" if redis_url else "true",
            "REDIS_URL": redis_url,
            "HOST": HOST,
            "PORT": str(self.port),
        }
        self._web: subprocess.Popen[bytes] | None = None
        self._workers: list[subprocess.Popen[bytes]] = []
        self._token = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        self._log.close()
        if not self._is_kept:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    async def start(self) -> float:
        """Starts it; the seconds until it is ready to execute runs."""
        started = time.monotonic()
        self._web = self._command("run_platform")
        await self._until_ready(started + HEALTHY_SECONDS)
        seconds = time.monotonic() - started
        if self.has_worker_apart:
            self.start_worker()
        return seconds

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Starts a further worker process; returns when it is ready."""
        worker = self._command("run_worker", stdout=subprocess.PIPE)
        self._workers.append(worker)
        assert worker.stdout is not None
        worker.stdout.readline()
        return worker

    @property
    def newest_worker(self) -> subprocess.Popen[bytes]:
        return self._workers[-1]

    def launch_worker(self) -> None:
        """Starts a further worker process without waiting for it."""
        self._workers.append(self._command("run_worker", stdout=subprocess.DEVNULL))

    def stop(self) -> None:
        for process in (*self._workers, *([self._web] if self._web else [])):
            end(process)
        self._workers.clear()
        self._web = None

    def cpu(self) -> Cost:
        return cpu_cost(self.pids)

    def memory(self) -> Cost:
        return memory_cost(self.pids)

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by what the processes are."""
        if not self._workers:
            return {"platform": self._web.pid} if self._web else {}
        found = {"web": self._web.pid} if self._web else {}
        return found | {f"worker {number}": worker.pid for number, worker in enumerate(self._workers, 1)}

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in (self._web, *self._workers) if process and process.poll() is None]

    async def connect(self) -> Connection:
        """A connection that speaks for the demo workspace's admin."""
        return await Connection.open(HOST, self.port, await self.headers())

    async def headers(self) -> dict[str, str]:
        """Of a request that speaks for the demo workspace's admin."""
        if not self._token:
            self._token = await self._login()
        return {"Authorization": f"Bearer {self._token}", "X-Workspace": "demo"}

    async def _login(self) -> str:
        credentials = json.loads((self.data_dir / "demo-credentials.json").read_text())
        admin = next(user for user in credentials if user["role"] == "admin")
        body = {"username": admin["username"], "password": admin["password"]}
        connection = await Connection.open(HOST, self.port)
        response = await connection.request("POST", f"{API}/auth/login", body, expect=200)
        connection.close()
        return str(response.json()["access"])

    def _command(self, name: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "manage.py", name],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log if stdout is None else stdout,
            stderr=self._log,
        )

    async def _until_ready(self, deadline: float) -> None:
        while not await self._is_ready():
            if self._web is None or self._web.poll() is not None or time.monotonic() > deadline:
                log = (self.data_dir / "bench.log").read_text(errors="replace")
                raise RuntimeError(f"The platform did not start. The end of its log:\n{log[-3000:]}")
            await asyncio.sleep(POLL_SECONDS)

    async def _is_ready(self) -> bool:
        try:
            connection = await Connection.open(HOST, self.port)
        except OSError:
            return False
        try:
            return (await connection.request("GET", f"{API}/health/readiness")).status == 200
        except RequestFailed:
            return False
        finally:
            connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
