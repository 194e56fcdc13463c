"""The mixed work: what one client does with the platform once, and how it finds that it was done right."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson
from websockets.asyncio.client import connect

from bench.connection import Connection
from bench.platform import API, HOST, Platform
from bench.soak.agents import Agents
from bench.stream import TERMINAL, RunStream
from bench.workload import TEXT

# Below the server's own patience with a connection that says nothing, so that none is taken that it is closing.
IDLE_SECONDS = 2.0
CANCELLED_AFTER = 0.7
RECONNECTED_AFTER = 0.9
APPROVED_AFTER = 0.3
RESUMED_AFTER = 0.3
TURNS_PER_SESSION = 8
# No single work takes so long, but on a platform that hangs.
PATIENCE_SECONDS = 60.0
READS = (
    "/runs?limit=20",
    "/agents?limit=20",
    "/sessions?limit=20",
    "/approvals?limit=20",
    "/billing/usage",
    "/billing/usage/breakdown?by=agent",
    "/billing/usage/history?granularity=hour",
    "/metrics/system",
    "/analytics/performance",
    "/queue",
)


class WorkFailed(Exception):
    """It was answered, and not as it should have been."""


@dataclass(slots=True)
class Found:
    """What the work's clients have seen. Moments are seconds since `began_ns`, durations milliseconds."""

    began_ns: int = field(default_factory=time.monotonic_ns)
    durations: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    event_lags: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    holes: int = 0
    """Events that were lost, came twice or in a wrong order."""
    runs: int = 0
    """How many were asked for."""
    ended: set[str] = field(default_factory=set)
    """The runs that were followed to their end, where their ids are known."""

    def moment(self, at_ns: int) -> float:
        return (at_ns - self.began_ns) / 1e9

    def took(self, kind: str, due_ns: int) -> None:
        now = time.monotonic_ns()
        self.durations.setdefault(kind, []).append((self.moment(now), (now - due_ns) / 1e6))


class Connections:
    """Kept connections, one request at a time over each."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._idle: deque[tuple[float, Connection]] = deque()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Connection]:
        connection = self._kept() or await self._platform.connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.append((time.monotonic(), connection))

    def _kept(self) -> Connection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS:
                return connection
            connection.close()
        return None

    async def ask(self, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        async with self.one() as connection:
            return (await connection.request(method, f"{API}{path}", body, expect=expect)).json()

    async def stream(self, method: str, path: str, body: Any, stream: RunStream) -> None:
        async with self.one() as connection:
            await connection.request(method, f"{API}{path}", body, sink=stream.feed, expect=200)


class Work:
    """One method for each kind of work. They raise what goes wrong; WorkFailed: it was answered, but not rightly."""

    def __init__(self, platform: Platform, agents: Agents, found: Found) -> None:
        self._platform, self._agents, self._found = platform, agents, found
        self._connections = Connections(platform)
        self._reads = itertools.cycle(READS)
        self._calls = itertools.cycle(
            [
                ('call calculator {"expression": "17 * 23"}', "391"),
                ('call get_order {"number": "1204"}', "shipped"),
            ]
        )
        self._sessions: deque[tuple[str, int]] = deque()

    async def chat(self) -> None:
        stream = await self._chat("soak-text", "Say something.")
        self._expect(stream, "run_completed", TEXT)

    async def tool(self) -> None:
        message, answer = next(self._calls)
        stream = await self._chat("soak-tools", f"Look it up.\n{message}")
        self._expect(stream, "run_completed", answer)

    async def session(self) -> None:
        """A turn of a conversation that nobody else speaks in meanwhile."""
        name, turns = self._sessions.popleft() if self._sessions else (await self._new_session(), 0)
        stream = RunStream(self._watcher())
        body = {"content": "And then?", "stream": True}
        await self._connections.stream("POST", f"/sessions/{name}/chat", body, stream)
        self._expect(stream, "run_completed", TEXT)
        if turns + 1 < TURNS_PER_SESSION:
            self._sessions.append((name, turns + 1))

    async def cancel(self) -> None:
        """A run that is cancelled in the middle of its answer."""
        run = await self._start("soak-slow")
        stream = RunStream()
        async with self._followed(run, stream):
            await asyncio.sleep(CANCELLED_AFTER)
            await self._connections.ask("POST", f"/runs/{run}/cancel", {"reason": "soak"})
        self._expect(stream, "run_cancelled")

    async def approve(self) -> None:
        """A run that waits for an approval, which somebody gives."""
        asked: list[str] = []
        waiting = asyncio.Event()

        def watch(kind: str, data: bytes) -> None:
            if kind == "approval_required":
                asked.append(orjson.loads(data)["approval_id"])
            if kind == "run_waiting":
                waiting.set()

        stream = RunStream(watch)
        run = await self._start("soak-approved", 'call approved_calculator {"expression": "17 * 23"}')
        async with self._followed(run, stream):
            await waiting.wait()
            await asyncio.sleep(APPROVED_AFTER)
            await self._connections.ask("POST", f"/approvals/{asked[0]}/approve", {})
        self._expect(stream, "run_completed", "391")

    async def pause(self) -> None:
        """A run that is paused before its tool, and resumed; where the wish comes too late, it just ends."""
        begun, rests, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        def watch(kind: str, data: bytes) -> None:
            if kind == "step_started":
                begun.set()
            if kind.encode() in TERMINAL:
                ended.set()
            if kind == "run_paused" or ended.is_set():
                rests.set()

        stream = RunStream(watch)
        run = await self._start("soak-hesitant", 'call calculator {"expression": "17 * 23"}')
        async with self._followed(run, stream):
            await begun.wait()
            await self._connections.ask("POST", f"/runs/{run}/pause", {})
            await rests.wait()
            if not ended.is_set():
                await asyncio.sleep(RESUMED_AFTER)
                await self._connections.ask("POST", f"/runs/{run}/resume", {})
        self._expect(stream, "run_completed", TEXT)

    async def socket(self) -> None:
        """A run that is followed over WebSocket, by somebody whose connection breaks again and again."""
        run = await self._start("soak-paced")
        seq, kind = 0, ""
        while kind.encode() not in TERMINAL:
            seq, kind = await self._watch_for_a_while(run, seq)
        if kind != "run_completed":
            raise WorkFailed(f"A run that was followed over WebSocket ended as {kind}.")
        self._found.ended.add(run)

    async def read(self) -> None:
        await self._connections.ask("GET", next(self._reads))

    async def export(self) -> None:
        """The ledger of the last minutes as CSV, at once."""
        start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
        query = urlencode({"format": "csv", "start": start.isoformat()})
        pieces: list[bytes] = []
        async with self._connections.one() as connection:
            path = f"{API}/billing/usage/export?{query}"
            await connection.request("GET", path, sink=pieces.append, expect=200)
        if b"".join(pieces).count(b"\n") < 2:
            raise WorkFailed("An export had no rows.")

    async def workbook(self) -> None:
        """The same as a workbook, made in the background, downloaded and removed."""
        start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
        wanted = {"format": "xlsx", "filters": {"start": start.isoformat()}}
        made = await self._connections.ask("POST", "/billing/exports", wanted, expect=202)
        while made["status"] in ("queued", "running"):
            await asyncio.sleep(0.5)
            made = await self._connections.ask("GET", f"/billing/exports/{made['id']}")
        if made["status"] != "completed":
            raise WorkFailed(f"An export ended as {made['status']}: {made['error']}")
        async with self._connections.one() as connection:
            path = f"{API}/billing/exports/{made['id']}"
            await connection.request("GET", f"{path}/download", sink=lambda piece: None, expect=200)
            await connection.request("DELETE", path, expect=204)

    async def _start(self, agent: str, message: str = "Say something.") -> str:
        self._found.runs += 1
        body = {"agent_id": self._agents[agent], "message": message}
        return str((await self._connections.ask("POST", "/runs", body, expect=202))["id"])

    async def _chat(self, agent: str, message: str) -> RunStream:
        stream = RunStream(self._watcher())
        body = {"agent_id": self._agents[agent], "message": message, "stream": True}
        await self._connections.stream("POST", "/chat", body, stream)
        return stream

    def _watcher(self) -> Callable[[str, bytes], None]:
        """Of a run that begins with its stream: keeps its id."""
        self._found.runs += 1

        def watch(kind: str, data: bytes) -> None:
            if kind == "run_completed":
                self._found.ended.add(orjson.loads(data)["run_id"])

        return watch

    @asynccontextmanager
    async def _followed(self, run: str, stream: RunStream) -> AsyncIterator[None]:
        """Follows the run while the block does something to it, and then to its end."""
        following = asyncio.create_task(self._follow(run, stream))
        try:
            yield
            await following
        finally:
            following.cancel()

    async def _follow(self, run: str, stream: RunStream) -> None:
        await self._connections.stream("GET", f"/runs/{run}/stream", None, stream)
        self._found.ended.add(run)

    async def _new_session(self) -> str:
        made = await self._connections.ask("POST", "/sessions", {"agent": "soak-text"}, expect=201)
        return str(made["id"])

    def _expect(self, stream: RunStream, ended_as: str, text: str = "") -> None:
        self._found.holes += stream.faults
        if stream.ended_as != ended_as:
            raise WorkFailed(f"A run ended as {stream.ended_as or 'nothing'} and not as {ended_as}.")
        if text not in (said := "".join(stream.text)):
            raise WorkFailed(f"A run answered {said!r} and not {text!r}.")

    async def _watch_for_a_while(self, run: str, seq: int) -> tuple[int, str]:
        """Frames of a run after `seq` until its end or the connection's; the last seq, and the last kind."""
        url = f"ws://{HOST}:{self._platform.port}/ws/runs/{run}/?after={seq}"
        headers = await self._platform.headers()
        kind = ""
        # Proxies of the environment are for others.
        async with connect(url, additional_headers=headers, compression=None, proxy=None) as socket:
            opened = time.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECONNECTED_AFTER):
                    async for frame in socket:
                        event = orjson.loads(frame)
                        self._found.holes += event["seq"] != seq + 1
                        seq, kind = event["seq"], event["type"]
                        self._note_lag(event["timestamp"], opened)
            # Some say that they go, and some are gone.
            if kind.encode() not in TERMINAL and seq % 2:
                socket.transport.abort()
        return seq, kind

    def _note_lag(self, made: str, opened: float) -> None:
        """What was made before the connection was opened was not late."""
        made_at, now = datetime.datetime.fromisoformat(made).timestamp(), time.time()
        if made_at > opened:
            moment = self._found.moment(time.monotonic_ns())
            self._found.event_lags.append((moment, (now - made_at) * 1000))
