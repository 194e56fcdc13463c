"""The bridge from Django to an ASGI application: one request goes in, and its answer comes out as Django's.

So `/mcp` has the manners of every route (request id, log line, limits, security headers, CORS), and the SDK's
transport, which is such an application, speaks the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any, cast

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from agentplatform.lib.body_limit import Application, Message

STREAM = "text/event-stream"
# Of one connection, which is the server's own matter.
HOP_BY_HOP = {"connection", "content-length"}

_under_way: set[asyncio.Task[None]] = set()
"""The loop itself keeps no task alive."""


class Exchange:
    """A request that `application` answers. It is told that the client has left by `close`."""

    def __init__(self, application: Application, request: ASGIRequest, body: bytes) -> None:
        self._incoming: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._outgoing: asyncio.Queue[Message | None] = asyncio.Queue()
        self._left = asyncio.Event()
        self._task = asyncio.create_task(self._run(application, dict(request.scope)))
        _under_way.add(self._task)
        self._task.add_done_callback(_under_way.discard)

    async def response(self) -> HttpResponseBase:
        """The answer as soon as it begins; a stream goes on by itself."""
        try:
            start = await self._next()
            headers = _headers(start)
            if headers.get("content-type", "").startswith(STREAM):
                return StreamingHttpResponse(self, status=start["status"], headers=headers)
            body = b"".join([piece async for piece in self])
        except BaseException:
            self.close()
            raise
        return HttpResponse(body, status=start["status"], headers=headers)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._next()
            more = message.get("more_body", False)
            if body := message.get("body"):
                yield body

    def close(self) -> None:
        """The answer is complete, or nobody waits for it. Django calls it however the response ends."""
        self._left.set()

    async def _next(self) -> Message:
        message = await self._outgoing.get()
        if message is None:
            # The application has ended without an answer, by the exception that this raises.
            await self._task
            raise RuntimeError("The application has ended without a complete answer.")
        return message

    async def _run(self, application: Application, scope: MutableMapping[str, Any]) -> None:
        try:
            await application(scope, self._receive, self._send)
        finally:
            self._outgoing.put_nowait(None)

    async def _receive(self) -> Message:
        if (message := self._incoming) is not None:
            self._incoming = None
            return message
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._outgoing.put_nowait(message)


def _headers(start: Message) -> dict[str, str]:
    pairs = cast(list[tuple[bytes, bytes]], start.get("headers", []))
    decoded = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in pairs)
    return {name: value for name, value in decoded if name not in HOP_BY_HOP}
