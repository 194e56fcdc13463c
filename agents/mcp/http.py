"""A server that is reached over streamable HTTP, through the address guard.

What happens to one request is answered to that request: the SDK would end the whole session, and with it the calls
of others, where a single connection fails. So such a failure is told as the JSON-RPC error that a server might have
answered itself.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping

import httpx2

from agentplatform.lib import outbound
from agentplatform.lib.addresses import OutboundRefused

MESSAGE_LIMIT = 10_000_000
"""Bytes of one answer, or of one event of a stream."""
LONGEST_WAIT = 600.0
"""Seconds between two pieces of an answer; a call's own time is over before."""
SESSION_HEADER = "mcp-session-id"

# Codes of our own, outside of what JSON-RPC and the protocol reserve.
NOT_SENT, SESSION_GONE, BROKEN_OFF, REFUSED = 47_001, 47_002, 47_003, 47_004


def client(headers: Mapping[str, str]) -> httpx2.AsyncClient:
    """The HTTP client of one session, with these headers in each of its requests."""
    return outbound.async_client(
        LONGEST_WAIT, wrap=Answers, headers={**headers, "Accept-Encoding": "identity"}
    )


class Answers(httpx2.AsyncBaseTransport):
    """Passes requests on, bounds what comes back, and makes errors of transport answers."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except OutboundRefused as error:
            return _fault(REFUSED, str(error))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            return _fault(NOT_SENT, "It cannot be reached.")
        except httpx2.TransportError:
            return _fault(BROKEN_OFF, "It broke the connection off.")
        if response.status_code >= 400:
            return await self._refusal(request, response)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            await response.aclose()
            return _fault(BROKEN_OFF, "It answered in an encoding that was not asked for.")
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            response.stream = _Bounded(response.stream)
        return response

    async def _refusal(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        """What an HTTP status says; an error that the server words itself is handed on."""
        response.stream = _Bounded(response.stream)
        try:
            body = await response.aread()
        except httpx2.StreamError:
            body = b""
        finally:
            await response.aclose()
        status, in_session = response.status_code, SESSION_HEADER in request.headers
        # Not few servers answer 400 for a session that they do not know, as early examples did.
        if in_session and (status == 404 or (status == 400 and b"session" in body.lower())):
            return _fault(SESSION_GONE, "It does not know the session any more.")
        if _is_error(body):
            return httpx2.Response(status, headers={"Content-Type": "application/json"}, content=body)
        hint = " Check its secret headers." if status in (401, 403) else ""
        return _fault(REFUSED, f"It answered HTTP {status}.{hint}", status)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """A body that raises StreamError where it is too long or breaks off, which costs its request only."""

    def __init__(self, inner: httpx2.SyncByteStream | httpx2.AsyncByteStream) -> None:
        assert isinstance(inner, httpx2.AsyncByteStream)
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for chunk in self._inner:
                size += len(chunk)
                if size > MESSAGE_LIMIT:
                    raise httpx2.StreamError(f"The answer is longer than {MESSAGE_LIMIT:,} bytes.")
                yield chunk
        except httpx2.TransportError as error:
            raise httpx2.StreamError("The answer breaks off.") from error

    async def aclose(self) -> None:
        await self._inner.aclose()


def _is_error(body: bytes) -> bool:
    """Whether it is a JSON-RPC error."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("error"), dict) and "jsonrpc" in value


def _fault(code: int, message: str, status: int = 502) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return httpx2.Response(status, json=error)
