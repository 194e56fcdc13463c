"""What is to be done when an HTTP request or a socket has ended, however it ends: answered, gone away, failed."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

KEY = "agentplatform.end"

Scope = MutableMapping[str, Any]
Application = Callable[..., Awaitable[None]]


class RequestEnd:
    """Keeps what is to be called at the end. What comes too late is called at once: a thread may outlive its client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Callable[[], None]] = []
        self._has_come = False

    def call(self, function: Callable[[], None]) -> None:
        with self._lock:
            if not self._has_come:
                self._calls.append(function)
                return
        function()

    def come(self) -> None:
        with self._lock:
            self._has_come = True
            calls, self._calls = self._calls, []
        for function in calls:
            function()


def ending(app: Application) -> Application:
    """ASGI middleware: gives each request and socket its end."""

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        end = scope[KEY] = RequestEnd()
        try:
            await app(scope, receive, send)
        finally:
            end.come()

    return application


def end_of(scope: Scope | None) -> RequestEnd | None:
    """The end of an ASGI scope; None outside of a server."""
    return scope.get(KEY) if scope is not None else None
