"""A WebSocket to the platform's ASGI application without a server: what is sent and received by frames."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

from agentplatform.asgi import application

PATIENCE_SECONDS = 5
Message = dict[str, Any]


class Socket:
    """`async with Socket("/ws/runs/…/", "ticket=…") as socket:`

    The application runs in the test's own context, so that the fixture `one_thread` reaches it.
    """

    def __init__(self, path: str, query: str = "", headers: dict[str, str] | None = None) -> None:
        named = {"host": "testserver"} | {name.lower(): value for name, value in (headers or {}).items()}
        self._scope = {
            "type": "websocket",
            "path": path,
            "query_string": query.encode("latin-1"),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
            "client": ["127.0.0.1", 50000],
            "subprotocols": [],
        }
        self._sent: asyncio.Queue[Message] = asyncio.Queue()
        self._received: asyncio.Queue[Message] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(application(self._scope, self._sent.get, self._received.put))
        self._sent.put_nowait({"type": "websocket.connect"})
        opened = await self._next()
        assert opened["type"] == "websocket.accept", opened
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sent.put_nowait({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._running

    async def send(self, frame: Any) -> None:
        """A text or bytes as they are, anything else as JSON."""
        kind = "bytes" if isinstance(frame, bytes) else "text"
        text = frame if isinstance(frame, str | bytes) else json.dumps(frame)
        self._sent.put_nowait({"type": "websocket.receive", kind: text})

    async def receive(self) -> Message:
        """The JSON of the next frame; a close is `{"closed": code, "reason": text}`."""
        message = await self._next()
        if message["type"] == "websocket.close":
            return {"closed": message["code"], "reason": message.get("reason") or ""}
        return json.loads(message["text"])

    async def frames(self) -> list[Message]:
        """All frames up to the close, which is the last."""
        return await self.until("closed")

    async def until(self, name: str) -> list[Message]:
        """All frames up to the first that has `name`, or to the close."""
        found = [await self.receive()]
        while not {name, "closed"} & found[-1].keys():
            found.append(await self.receive())
        return found

    async def _next(self) -> Message:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._received.get()
