"""How a session with an MCP server fails."""

from __future__ import annotations


class McpFault(Exception):
    """Something went wrong with a server; `message` is written for people and models to read."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable


class NotConnected(McpFault):
    """No session could be opened, so nothing has been asked of the server."""


class SessionLost(McpFault):
    """The session ended under a request. `unheard`: the server has certainly not begun to answer it."""

    def __init__(self, message: str, *, unheard: bool = False) -> None:
        super().__init__(message, retryable=unheard)
        self.unheard = unheard
