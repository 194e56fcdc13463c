"""Refuses a body that is too large while it comes in.

Django's ASGI handler stores the whole body before any middleware or view runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from agentplatform.lib.ids import uuid7
from agentplatform.lib.json import dumps, too_large

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class BodyLimit:
    """ASGI middleware: an HTTP body of more than `maximum` bytes, announced or counted, gets 413."""

    def __init__(self, app: Application, maximum: int) -> None:
        self.app = app
        self.maximum = maximum

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif announced_length(scope) > self.maximum:
            await self._refuse(scope, send)
        else:
            await self._count(scope, receive, send)

    async def _count(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        seen = 0
        is_answered = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            # To the application the client has gone away: it gives up without an answer, and we give ours.
            return {"type": "http.disconnect"} if seen > self.maximum else message

        async def watched(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        await self.app(scope, counted, watched)
        if seen > self.maximum and not is_answered:
            await self._refuse(scope, send)

    async def _refuse(self, scope: MutableMapping[str, Any], send: Send) -> None:
        error, request_id = too_large(self.maximum), str(uuid7())
        body = dumps(
            {
                "error": {
                    "type": error.error_type,
                    "message": error.message,
                    "path": scope["path"],
                    "request_id": request_id,
                }
            }
        )
        headers = [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode())]
        headers += [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": error.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def announced_length(scope: MutableMapping[str, Any]) -> int:
    """The Content-Length header's number, or 0 without a usable one."""
    text: bytes = dict(scope["headers"]).get(b"content-length", b"0")
    return int(text) if text.isdigit() else 0
