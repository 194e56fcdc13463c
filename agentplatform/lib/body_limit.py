"""Keeps a body that is too large out while it comes in.

Django's ASGI handler stores the whole body before any middleware or view runs. Here it gets at most `maximum`
bytes of it (a number, or one for each path), and a Content-Length that says how many came in; who sees that one is too
large refuses the request
(`agentplatform.middleware`), and answers it as any other.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings

from agentplatform.lib import paths

# What a form adds to its file.
FORM_BYTES = 65_536

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def limit_of(method: str, path: str) -> tuple[int, str]:
    """How many bytes the body of a request may have, and which setting says so: on most routes MAX_REQUEST_BYTES."""
    route = f"{method} {paths.canonical(path)}"
    for pattern, setting in settings.LARGER_BODIES.items():
        if re.fullmatch(pattern, route):
            return max(settings.MAX_REQUEST_BYTES, getattr(settings, setting) + FORM_BYTES), setting
    return settings.MAX_REQUEST_BYTES, "MAX_REQUEST_BYTES"


def largest_body(method: str, path: str) -> int:
    """The number alone."""
    return limit_of(method, path)[0]


class BodyLimit:
    """ASGI middleware: an HTTP body of more than `maximum` bytes, announced or counted, ends before it is too much.

    `maximum` is a number, or a function of method and path.
    """

    def __init__(self, app: Application, maximum: int | Callable[[str, str], int]) -> None:
        self.app = app
        self.maximum = maximum

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.maximum
        maximum = limit if isinstance(limit, int) else limit(scope["method"], scope["path"])
        if announced_length(scope) > maximum:
            await self.app(scope, _Ended().receive, _closing(send))
        else:
            await self._count(maximum, scope, receive, send)

    async def _count(
        self, maximum: int, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        seen, ended, closing = 0, _Ended(), _closing(send)

        async def counted() -> Message:
            nonlocal seen
            if seen > maximum:
                return await ended.receive()
            message = await receive()
            seen += len(message.get("body", b""))
            if seen <= maximum:
                return message
            announce(scope, seen)
            return await ended.receive()

        async def watched(message: Message) -> None:
            await (send if seen <= maximum else closing)(message)

        await self.app(scope, counted, watched)


class _Ended:
    """What an application receives of a body that it gets no more of: its end, and then nothing."""

    def __init__(self) -> None:
        self.is_told = False

    async def receive(self) -> Message:
        if self.is_told:
            # It waits for the client to go away, until it has answered.
            await asyncio.get_running_loop().create_future()
        self.is_told = True
        return {"type": "http.request", "body": b"", "more_body": False}


def _closing(send: Send) -> Send:
    """`send` for an answer after which the connection is closed: what is still to come of the body is not read."""

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return closing


def announced_length(scope: MutableMapping[str, Any]) -> int:
    """The Content-Length header's number, or 0 without a usable one."""
    text: bytes = dict(scope["headers"]).get(b"content-length", b"0")
    return int(text) if text.isdigit() else 0


def announce(scope: MutableMapping[str, Any], length: int) -> None:
    """Sets the Content-Length header."""
    others = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    scope["headers"] = [*others, (b"content-length", str(length).encode())]
