"""The sessions of this process, one for each version of a server, on an event loop of their own.

The loop has a thread to itself: requests, trials and runs come from many event loops, short-lived ones among them,
and share the sessions all the same; and whatever a server sends is read beside the runs and not between them.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from agents.mcp.faults import McpFault, NotConnected, SessionLost
from agents.specification import McpServerSpecification

if TYPE_CHECKING:
    import mcp_types

    from agents.mcp.sessions import Session

T = TypeVar("T")
AT_EXIT_SECONDS = 10.0


class Pool:
    """Everything in here happens on the pool's own event loop."""

    def __init__(self) -> None:
        self._sessions: dict[uuid.UUID, Session] = {}
        self._alive: set[Session] = set()

    async def call(
        self,
        server: McpServerSpecification,
        secrets: Mapping[str, str],
        tool: str,
        arguments: Mapping[str, Any],
        *,
        seconds: float,
        idempotent: bool,
    ) -> mcp_types.CallToolResult:
        """The answer of the server's tool. Raises McpFault.

        A session that has ended since its last call is opened again. One that ends under this call is opened again
        where the server has not heard of the call, or where the tool may be called twice; else nobody knows whether
        it has had its effect, and the caller is told so.
        """
        deadline = time.monotonic() + seconds
        try:
            session = await self._session(server, secrets)
            return await session.call(tool, arguments, deadline)
        except SessionLost as lost:
            if not (lost.unheard or idempotent):
                raise _unknown_effect(lost) from lost
        session = await self._session(server, secrets)
        return await session.call(tool, arguments, deadline)

    async def _session(self, server: McpServerSpecification, secrets: Mapping[str, str]) -> Session:
        from agents.mcp.sessions import Session

        session = self._sessions.get(server.version_id)
        if session is not None and session.is_usable and session.is_silent:
            await session.answers()
            # Another call may have opened a new one meanwhile.
            session = self._sessions.get(server.version_id)
        if session is None or not session.is_usable:
            session = Session(server, secrets, self._forget)
            self._sessions[server.version_id] = session
            self._alive.add(session)
        return session

    def _forget(self, session: Session) -> None:
        self._alive.discard(session)
        if self._sessions.get(session.server.version_id) is session:
            del self._sessions[session.server.version_id]

    async def close(self) -> None:
        """Ends all sessions, also those that are ending, and waits for their processes."""
        await asyncio.gather(*(session.close() for session in list(self._alive)))


def _unknown_effect(lost: SessionLost) -> McpFault:
    return McpFault(f"{lost.message} Nobody knows whether the call has had its effect.")


class _Home:
    """The thread with the event loop, from its first use until it is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.pool = Pool()

    def submit(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """For the running event loop to wait for; cancelling it cancels the work."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._running()))

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_work, args=[self._loop], name="mcp", daemon=True).start()
                atexit.register(self.close)
            return self._loop

    def close(self) -> None:
        """Ends all sessions and the thread. What comes later begins anew."""
        with self._lock:
            loop, self._loop, pool, self.pool = self._loop, None, self.pool, Pool()
        if loop is None:
            return
        atexit.unregister(self.close)
        closing = asyncio.run_coroutine_threadsafe(pool.close(), loop)
        with suppress(TimeoutError):
            closing.result(AT_EXIT_SECONDS)
        loop.call_soon_threadsafe(loop.stop)


def _work(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


_home = _Home()


async def call(server: McpServerSpecification, *arguments: Any, **options: Any) -> mcp_types.CallToolResult:
    """Pool.call, from any event loop."""
    return await _home.submit(_home.pool.call(server, *arguments, **options))


async def once(server: McpServerSpecification, secrets: Mapping[str, str], use: Callable[[Session], T]) -> T:
    """What `use` says of a session that is opened for this only. Raises NotConnected."""
    return await _home.submit(_once(server, secrets, use))


async def _once(server: McpServerSpecification, secrets: Mapping[str, str], use: Callable[[Session], T]) -> T:
    from agents.mcp.sessions import Session

    session = Session(server, secrets)
    try:
        await session.opened()
        return use(session)
    finally:
        await asyncio.shield(session.close())


async def close() -> None:
    """Ends all sessions of this process and their processes, before it ends itself."""
    await asyncio.to_thread(_home.close)


__all__ = ["McpFault", "NotConnected", "call", "close", "once"]
