"""Clients that follow a run as browsers do: whatever breaks, they come back with the last id that they have seen."""

from __future__ import annotations

import asyncio
import json

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from runs.events import TERMINAL_EVENTS

RECONNECT_SECONDS = 0.5
# So many events are read over one connection before the client leaves by itself, as one on the move does.
READ_AT_ONCE = 20


def client_of(headers: dict[str, str]) -> httpx.AsyncClient:
    """A client that speaks plain HTTP only: reading the system's certificates takes longer than all that it does.

    A new connection for each request: one that is kept may be closed by the server at the very moment of its use.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(headers=headers, timeout=30, verify=False, limits=limits)


class Follower:
    """One client of one run. `seen` are the numbers of the events that it was sent, all of them, in their order."""

    def __init__(self, url: str, token: str, run_id: str) -> None:
        self.seen: list[int] = []
        self.ended = False
        self.connections = 0
        self._url = url
        self.run_id = run_id
        self._headers = {"Authorization": f"Bearer {token}"}

    async def follow(self) -> None:
        """Until the run's last event."""
        while not self.ended:
            self.connections += 1
            try:
                await self._read()
            except (httpx.HTTPError, WebSocketException, OSError, EOFError):
                await asyncio.sleep(RECONNECT_SECONDS)

    @property
    def last(self) -> int:
        return self.seen[-1] if self.seen else 0

    def take(self, seq: int, kind: str) -> None:
        self.seen.append(seq)
        self.ended = kind in TERMINAL_EVENTS

    async def _read(self) -> None:
        raise NotImplementedError


class EventSource(Follower):
    """Over server-sent events."""

    async def _read(self) -> None:
        headers = {**self._headers, "Last-Event-ID": str(self.last)}
        url = f"{self._url}/api/v1/runs/{self.run_id}/stream"
        async with (
            client_of(headers) as client,
            client.stream("GET", url) as answer,
        ):
            answer.raise_for_status()
            leave_at = len(self.seen) + READ_AT_ONCE
            seq = 0
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    seq = int(value)
                elif name == "event":
                    self.take(seq, value)
                elif not line and len(self.seen) >= leave_at:
                    return


class Socket(Follower):
    """Over WebSocket."""

    async def _read(self) -> None:
        url = f"{self._url.replace('http', 'ws', 1)}/ws/runs/{self.run_id}/?after={self.last}"
        # Its queue is unbounded: a full one would keep it from reading the server's farewell.
        async with connect(url, additional_headers=self._headers, max_queue=None) as socket:
            for _ in range(READ_AT_ONCE):
                event = json.loads(await socket.recv())
                self.take(event["seq"], event["type"])
                if self.ended:
                    return
