"""A minimal HTTP/1.1 client: one request at a time over a kept connection, bodies handed on as they arrive.

It shares the processor with what it measures, so it does no more than the measurements need: no redirects, no
compression, no pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

BodySink = Callable[[bytes], None]
# No answer takes so long, but for that of a platform that hangs: the benchmark then says so instead of waiting.
ANSWER_SECONDS = 900.0  # The whole ledger takes minutes.


@dataclass(slots=True)
class Response:
    """`body` stays empty where a sink took it."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return orjson.loads(self.body)


class RequestFailed(Exception):
    """The platform answered with another status than was expected, or closed the connection."""


class Connection(asyncio.Protocol):
    """One connection to the platform. Use `open` to make one."""

    def __init__(self, host: str, port: int, headers: dict[str, str]) -> None:
        lines = [f"Host: {host}:{port}", *(f"{name}: {value}" for name, value in headers.items())]
        self._head = "\r\n".join(lines).encode() + b"\r\n"
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._response = Response()
        self._sink: BodySink | None = None
        self._parts: list[bytes] = []
        self._remaining = -1
        self._is_chunked = False
        self._has_head = False
        self._done: asyncio.Future[Response] | None = None

    @classmethod
    async def open(cls, host: str, port: int, headers: dict[str, str] | None = None) -> Self:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: cls(host, port, headers or {}), host, port)
        return connection

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        sink: BodySink | None = None,
        expect: int | None = None,
    ) -> Response:
        """Sends a request and returns when its answer is complete.

        `sink` is given the body of a successful answer piece by piece. Raises RequestFailed when the status
        is not `expect`, the connection ends or the answer takes too long.
        """
        payload = b"" if body is None else orjson.dumps(body)
        self._response, self._sink, self._parts = Response(), sink, []
        self._has_head, self._remaining = False, -1
        self._done = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            raise RequestFailed(f"{method} {path}: the connection is closed.")
        self._transport.write(
            b"%b %b HTTP/1.1\r\n%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (method.encode(), path.encode(), self._head, len(payload), payload)
        )
        response = await self._complete(f"{method} {path}")
        if expect is not None and response.status != expect:
            raise RequestFailed(f"{method} {path} answered {response.status}: {response.body[:500]!r}")
        return response

    async def _complete(self, what: str) -> Response:
        assert self._done is not None
        try:
            return await asyncio.wait_for(self._done, ANSWER_SECONDS)
        except TimeoutError as error:
            raise RequestFailed(f"{what}: no complete answer within {ANSWER_SECONDS:.0f} s.") from error

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(RequestFailed(f"The connection ended before its answer: {error}"))

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._has_head and not self._take_head():
            return
        if self._is_chunked:
            self._take_chunks()
        else:
            self._take_sized()

    def _take_head(self) -> bool:
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return False
        status_line, *lines = head.split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        self._response.status = int(status_line.split(b" ", 2)[1])
        self._response.headers = headers
        self._is_chunked = headers.get(b"transfer-encoding") == b"chunked"
        self._remaining = int(headers.get(b"content-length", 0))
        if self._response.status >= 300:
            self._sink = None
        self._buffer, self._has_head = rest, True
        return True

    def _take_sized(self) -> None:
        piece, self._buffer = self._buffer[: self._remaining], self._buffer[self._remaining :]
        self._remaining -= len(piece)
        self._hand_on(piece)
        if self._remaining == 0:
            self._finish()

    def _take_chunks(self) -> None:
        buffer, position = self._buffer, 0
        pieces: list[bytes] = []
        while (line_end := buffer.find(b"\r\n", position)) >= 0:
            size = int(buffer[position:line_end], 16)
            end = line_end + 2 + size
            if len(buffer) < end + 2:
                break
            position = end + 2
            if size == 0:
                self._buffer = buffer[position:]
                self._hand_on(b"".join(pieces))
                self._finish()
                return
            pieces.append(buffer[line_end + 2 : end])
        self._buffer = buffer[position:]
        self._hand_on(b"".join(pieces))

    def _hand_on(self, piece: bytes) -> None:
        if not piece:
            return
        if self._sink is not None:
            self._sink(piece)
        else:
            self._parts.append(piece)

    def _finish(self) -> None:
        self._response.body = b"".join(self._parts)
        if self._done is not None and not self._done.done():
            self._done.set_result(self._response)
