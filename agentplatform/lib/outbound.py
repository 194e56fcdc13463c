"""The only way the platform opens HTTP connections to hosts that its users name.

    async with outbound.async_client(timeout=10) as client:
        async with client.stream("GET", url) as response:
            body = await outbound.read_limited(response, 1_000_000)

A client resolves a host name itself, refuses what is not a public address (`agentplatform.lib.addresses`),
and connects to the very address that it checked, so that a name which resolves differently a moment later
gains nothing. The check stands where connections are opened: every hop of a redirect passes it, and a
kept-alive connection costs nothing. Host header and TLS name remain those of the URL. Proxies of the
environment are not used.

It is built on httpx2, the library under the clients of OpenAI, Anthropic and MCP; Google's takes it too.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import weakref
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import anyio
import httpcore2
import httpx2

from agentplatform.lib.addresses import Guard, OutboundRefused, as_address
from agentplatform.lib.sockets import connect

Resolve = Callable[[str, int], Sequence[str]]
AsyncResolve = Callable[[str, int], Awaitable[Sequence[str]]]
SocketOptions = Iterable[httpcore2.SOCKET_OPTION] | None
UNREACHED = (httpcore2.ConnectError, httpcore2.ConnectTimeout)

CONNECT_SECONDS = 10.0
LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=30.0)


class ResponseTooLarge(Exception):
    """The answer is longer than was allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The answer is longer than {limit:,} bytes.")
        self.limit = limit


def resolve(host: str, port: int) -> list[str]:
    return _addresses(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


async def async_resolve(host: str, port: int) -> list[str]:
    return _addresses(await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _addresses(answers: Iterable[tuple[Any, ...]]) -> list[str]:
    """The distinct addresses of `getaddrinfo`'s answers, in its order of preference."""
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


class GuardedBackend(httpcore2.NetworkBackend):
    """Opens connections to checked addresses only."""

    def __init__(self, guard: Guard, resolve: Resolve) -> None:
        self._guard = guard
        self._resolve = resolve
        self._network = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions = None,
    ) -> httpcore2.NetworkStream:
        try:
            found = [host] if as_address(host) else self._resolve(host, port)
        except OSError as error:
            raise httpcore2.ConnectError(f"{host} does not resolve: {error}") from error
        *others, last = self._guard.permitted(host, port, found)
        share = _share(timeout, len(others) + 1)
        for address in others:
            try:
                return self._network.connect_tcp(address, port, share, local_address, socket_options)
            except UNREACHED:
                continue
        return self._network.connect_tcp(last, port, share, local_address, socket_options)

    def connect_unix_socket(self, path: str, *arguments: Any, **options: Any) -> httpcore2.NetworkStream:
        raise OutboundRefused(path, "it is a socket of this machine")


class AsyncGuardedBackend(httpcore2.AsyncNetworkBackend):
    """The same for asyncio; the resolver works in a thread."""

    def __init__(self, guard: Guard, resolve: AsyncResolve) -> None:
        self._guard = guard
        self._resolve = resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions = None,
    ) -> httpcore2.AsyncNetworkStream:
        found = [host] if as_address(host) else await self._resolved(host, port, timeout)
        *others, last = self._guard.permitted(host, port, found)
        share = _share(timeout, len(others) + 1)
        for address in others:
            try:
                return await connect(address, port, share, socket_options)
            except UNREACHED:
                continue
        return await connect(last, port, share, socket_options)

    async def _resolved(self, host: str, port: int, timeout: float | None) -> Sequence[str]:
        try:
            with anyio.fail_after(timeout):
                return await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{host} did not resolve in time") from error
        except OSError as error:
            raise httpcore2.ConnectError(f"{host} does not resolve: {error}") from error

    async def connect_unix_socket(
        self, path: str, *arguments: Any, **options: Any
    ) -> httpcore2.AsyncNetworkStream:
        raise OutboundRefused(path, "it is a socket of this machine")


def _share(timeout: float | None, addresses: int) -> float | None:
    """Each address gets its part of the time, so that a dead one does not use up all of it."""
    return None if timeout is None else timeout / addresses


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    """Built once: it takes about 20 ms. Honours SSL_CERT_FILE and SSL_CERT_DIR."""
    return httpx2.create_ssl_context()


def _pool_options(limits: httpx2.Limits) -> dict[str, Any]:
    return {
        "ssl_context": _ssl_context(),
        "max_connections": limits.max_connections,
        "max_keepalive_connections": limits.max_keepalive_connections,
        "keepalive_expiry": limits.keepalive_expiry,
    }


class GuardedTransport(httpx2.HTTPTransport):
    """httpx's transport over a pool that opens guarded connections."""

    def __init__(self, backend: httpcore2.NetworkBackend, limits: httpx2.Limits) -> None:
        super().__init__(verify=_ssl_context(), limits=limits)
        self._pool = httpcore2.ConnectionPool(network_backend=backend, **_pool_options(limits))


class _LoopTransport(httpx2.AsyncHTTPTransport):
    """The same for one event loop."""

    def __init__(self, backend: httpcore2.AsyncNetworkBackend, limits: httpx2.Limits) -> None:
        super().__init__(verify=_ssl_context(), limits=limits)
        self._pool = httpcore2.AsyncConnectionPool(network_backend=backend, **_pool_options(limits))


class AsyncGuardedTransport(httpx2.AsyncBaseTransport):
    """A pool for each event loop, so that one client can be shared by everything in the process."""

    def __init__(self, backend: httpcore2.AsyncNetworkBackend, limits: httpx2.Limits) -> None:
        self._backend = backend
        self._limits = limits
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopTransport] = (
            weakref.WeakKeyDictionary()
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        loop = asyncio.get_running_loop()
        if (transport := self._by_loop.get(loop)) is None:
            transport = self._by_loop[loop] = _LoopTransport(self._backend, self._limits)
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Closes the connections of the running event loop."""
        if transport := self._by_loop.pop(asyncio.get_running_loop(), None):
            await transport.aclose()


def client(
    timeout: float,
    *,
    also_allowed: tuple[str, ...] = (),
    resolve: Resolve = resolve,
    limits: httpx2.Limits = LIMITS,
    **options: Any,
) -> httpx2.Client:
    """A guarded client. `timeout` (seconds) bounds each wait for bytes; `options` are httpx's own.

    Redirects are not followed unless `follow_redirects=True` is given. Raises OutboundRefused on use.
    """
    transport = GuardedTransport(GuardedBackend(Guard(also_allowed), resolve), limits)
    return httpx2.Client(
        transport=transport, trust_env=False, cookies=_no_cookies(), timeout=timeouts(timeout), **options
    )


def async_client(
    timeout: float,
    *,
    also_allowed: tuple[str, ...] = (),
    resolve: AsyncResolve = async_resolve,
    limits: httpx2.Limits = LIMITS,
    wrap: Callable[[httpx2.AsyncBaseTransport], httpx2.AsyncBaseTransport] | None = None,
    **options: Any,
) -> httpx2.AsyncClient:
    """The same for asyncio; one client may be shared by several event loops. `wrap` goes around its transport."""
    transport = AsyncGuardedTransport(AsyncGuardedBackend(Guard(also_allowed), resolve), limits)
    return httpx2.AsyncClient(
        transport=wrap(transport) if wrap else transport,
        trust_env=False,
        cookies=_no_cookies(),
        timeout=timeouts(timeout),
        **options,
    )


def _no_cookies() -> CookieJar:
    """Keeps nothing: clients are shared, and one user's cookies are not another's."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def timeouts(seconds: float) -> httpx2.Timeout:
    """No single wait longer than `seconds`, and less for connecting: a dead host shows itself soon."""
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


async def read_limited(response: httpx2.Response, max_bytes: int) -> bytes:
    """The body of a streamed response, unpacked. Raises ResponseTooLarge, for what unpacks to more too."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise ResponseTooLarge(max_bytes)
    return _unpacked(bytes(body), response.headers.get("Content-Encoding", ""), max_bytes)


def _unpacked(body: bytes, encoding: str, max_bytes: int) -> bytes:
    if encoding not in ("gzip", "deflate"):
        return body
    try:
        unpacked = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise httpx2.DecodingError(f"The answer is not the {encoding} that it claims to be.") from error
    if len(unpacked) > max_bytes:
        raise ResponseTooLarge(max_bytes)
    return unpacked
