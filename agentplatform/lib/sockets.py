"""Network streams for httpcore straight on asyncio's transports.

The library's own streams go through a further layer, whose every read takes a turn of the event loop, and
whose every look at an idle connection asks the kernel; with hundreds of streaming answers at once that is
most of the work. Here a read returns all that has come in by then: the cost of a token falls as load grows.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2

HIGH_WATER = 256 * 1024
"""Bytes that wait to be read before the sender is told to wait."""
SEND_SIZE = 64 * 1024
"""Bytes that are held back at most, to be sent together."""


class _Wire(asyncio.Protocol):
    """Collects what arrives. `lost` once the connection is gone, `ended` once the peer has sent its last."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = False
        self.lost = False
        self.failure: Exception | None = None
        self.transport: Any = None
        self._paused_reading = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._may_write = True
        self._outgoing = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) > HIGH_WATER and not self._paused_reading:
            self._paused_reading = True
            self.transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        self.ended = True
        _wake(self._reader)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = self.lost = True
        self.failure = exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        _wake(self._writer)

    async def take(self, max_bytes: int, timeout: float | None) -> bytes:
        """What has arrived, at least a byte; b"" at the end. Raises ReadTimeout or ReadError."""
        if not self.received and not self.ended:
            self._reader = asyncio.get_running_loop().create_future()
            await _within(timeout, self._reader, httpcore2.ReadTimeout)
        if not self.received and self.failure:
            raise httpcore2.ReadError(str(self.failure)) from self.failure
        data = bytes(self.received[:max_bytes])
        del self.received[:max_bytes]
        if self._paused_reading and len(self.received) < HIGH_WATER // 2:
            self._paused_reading = False
            self.transport.resume_reading()
        return data

    def send(self, data: bytes) -> None:
        """Sends `data` when the event loop turns next: a request's head and body leave together."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self.flush)
        self._outgoing += data
        if len(self._outgoing) > SEND_SIZE:
            self.flush()

    def flush(self) -> None:
        if self._outgoing and not self.lost:
            self.transport.write(bytes(self._outgoing))
        self._outgoing.clear()

    async def drained(self, timeout: float | None) -> None:
        """Returns when the peer has taken enough of what was written. Raises WriteTimeout or WriteError."""
        while not self._may_write and not self.lost:
            self._writer = asyncio.get_running_loop().create_future()
            await _within(timeout, self._writer, httpcore2.WriteTimeout)
        if self.lost:
            raise httpcore2.WriteError("The connection is closed.") from self.failure


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


async def _within(timeout: float | None, waiter: asyncio.Future[None], error: type[Exception]) -> None:
    """Waits for `waiter`; raises `error` after `timeout` seconds. Cheaper than a timeout context per read."""
    if timeout is None:
        await waiter
        return
    timer = asyncio.get_running_loop().call_later(timeout, _expire, waiter, error)
    try:
        await waiter
    finally:
        timer.cancel()


def _expire(waiter: asyncio.Future[None], error: type[Exception]) -> None:
    if not waiter.done():
        waiter.set_exception(error())


class AsyncioStream(httpcore2.AsyncNetworkStream):
    """One connection, plain or in TLS."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._wire.take(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            self._wire.send(buffer)
            await self._wire.drained(timeout)

    async def aclose(self) -> None:
        self._wire.flush()
        self._wire.transport.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        loop, wire = asyncio.get_running_loop(), self._wire
        try:
            async with asyncio.timeout(timeout):
                wire.transport = await loop.start_tls(
                    wire.transport, wire, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("The TLS handshake did not finish in time.") from error
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            # Of an idle connection: it was closed, or something came that nobody asked for.
            return self._wire.ended or bool(self._wire.received)
        return self._wire.transport.get_extra_info(NAMES.get(info, info))


NAMES = {"client_addr": "sockname", "server_addr": "peername"}


async def connect(
    address: str, port: int, timeout: float | None, socket_options: Iterable[Any] | None = None
) -> AsyncioStream:
    """A connection to a literal address. Raises ConnectTimeout or ConnectError."""
    try:
        async with asyncio.timeout(timeout):
            _, wire = await asyncio.get_running_loop().create_connection(_Wire, address, port)
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout(f"{address} did not answer in time.") from error
    except OSError as error:
        raise httpcore2.ConnectError(str(error)) from error
    for option in socket_options or ():
        wire.transport.get_extra_info("socket").setsockopt(*option)
    return AsyncioStream(wire)
