"""One session with one server, on the event loop of `agents.mcp.pool`.

A session belongs to a task of its own, because the SDK's contexts have to be left by the task that entered them.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import mcp_types
import structlog
from django.conf import settings
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult
from pydantic import ValidationError

from agentplatform.lib.concurrency import in_thread
from agents.mcp import health, http
from agents.mcp.faults import McpFault, NotConnected, SessionLost
from agents.mcp.stdio import ServerProcess
from agents.models import McpServer
from agents.specification import McpServerSpecification
from agents.tools.blackening import blackened

logger = structlog.get_logger(__name__)

MOST_PAGES = 50
MOST_TOOLS = 1_000
MOST_CHARACTERS = 5_000_000
"""Of all pages of a server's list."""
CLOSE_SECONDS = 8.0
PROBE_SECONDS = 2.0
LATENESS = 0.1
"""Seconds that a deadline may be early, by the clocks of two threads."""
MESSAGE_SHOWN = 500
"""Characters of a server's own words in an error."""


class Session:
    """Opens at once. `secrets` are the values of the server's secrets by their names; `on_end` is told the end."""

    def __init__(
        self,
        server: McpServerSpecification,
        secrets: Mapping[str, str],
        on_end: Callable[[Session], None] = lambda session: None,
    ) -> None:
        self.server = server
        self.tools: list[mcp_types.Tool] | McpFault = []
        """What the server lists, or why it lists nothing."""
        self.information: dict[str, str] = {}
        """What it says of itself: {name, version, protocol}."""
        self._calls: dict[object, tuple[float, float]] = {}
        """Those under way: when they were made, and when whoever waits gives up."""
        self._secrets = secrets
        self._on_end = on_end
        self._process: ServerProcess | None = None
        self._ending = asyncio.Event()
        self._heard = self._used = time.monotonic()
        self._doubted = 0.0
        self._probe: asyncio.Task[bool] | None = None
        self._opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        # A context of its own: the run that happens to open it has nothing to do with what the log says later.
        self._task = asyncio.create_task(self._live(), name="mcp", context=contextvars.Context())

    @property
    def is_usable(self) -> bool:
        return not (self._ending.is_set() or self._task.done())

    @property
    def is_silent(self) -> bool:
        """Whether it has said nothing at all while somebody's time ran out, nor since."""
        return self._heard < self._doubted or any(self._is_unheard(*call) for call in self._calls.values())

    def _is_unheard(self, made: float, deadline: float) -> bool:
        return self._heard < made and time.monotonic() >= deadline - LATENESS

    async def answers(self) -> bool:
        """Whether it still says anything when it is asked; one that does not is ended."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask())
        return await asyncio.shield(self._probe)

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await (await self.opened()).list_tools(cache_mode="bypass")
        except (TimeoutError, MCPError, McpFault):
            self.end()
            return False
        self._heard = time.monotonic()
        return True

    async def opened(self) -> Client:
        """The client of the open session. Raises NotConnected."""
        return await asyncio.shield(self._opened)

    def end(self) -> None:
        """Lets the session end by itself, soon."""
        self._ending.set()

    async def close(self) -> None:
        """Ends the session and waits until nothing is left of it."""
        self.end()
        if not self._opened.done():
            self._task.cancel()
        _, pending = await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        for task in pending:
            task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def call(self, tool: str, arguments: Mapping[str, Any], deadline: float) -> CallToolResult:
        """The tool's answer. Raises McpFault, and SessionLost where nobody knows what became of the call.

        `deadline` (of time.monotonic) is when whoever waits will have given up.
        """
        client, key = await self.opened(), object()
        self._calls[key] = (time.monotonic(), deadline)
        try:
            answer = await client.call_tool(tool, dict(arguments))
            self._heard = time.monotonic()
            return answer
        except MCPError as error:
            raise self._fault(error) from error
        except ValidationError as error:
            raise self._failed("its answer is not one that the protocol has") from error
        except RuntimeError as error:
            raise self._failed(f"its answer is not what it promised: {error}") from error
        except asyncio.CancelledError:
            if self._is_unheard(*self._calls[key]):
                self._doubted = time.monotonic()
            raise
        finally:
            del self._calls[key]
            self._used = time.monotonic()

    def _fault(self, error: MCPError) -> McpFault:
        if error.code not in (http.NOT_SENT, http.SESSION_GONE, http.REFUSED, http.BROKEN_OFF):
            self._heard = time.monotonic()
        if error.code == http.SESSION_GONE:
            self.end()
            return SessionLost(self._words("it does not know the session any more"), unheard=True)
        if error.code in (http.BROKEN_OFF, mcp_types.CONNECTION_CLOSED):
            return SessionLost(self._words(self._why_lost(error)))
        retryable = error.code in (http.NOT_SENT, mcp_types.REQUEST_TIMEOUT)
        return self._failed(_message(error), retryable=retryable)

    def _why_lost(self, error: MCPError) -> str:
        return (self._process.fault if self._process else "") or _message(error)

    def _failed(self, said: str, *, retryable: bool = False) -> McpFault:
        return McpFault(self._words(said), retryable=retryable)

    def _words(self, said: str) -> str:
        said = self.clean(said)[:MESSAGE_SHOWN].strip().rstrip(".")
        return f"The MCP server {self.server.name!r} failed: {said}."

    def clean(self, text: str) -> str:
        """`text` of the server's without the values of its secrets."""
        return blackened(text, list(self._secrets.values()))

    # --- the life of the session, in a task of its own ---

    async def _live(self) -> None:
        fault: McpFault = NotConnected(self._words("the session was closed"))
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self.server.timeout_seconds):
                    client = await stack.enter_async_context(await self._client(stack))
                    client.session.validate_tool_result = _unchecked  # type: ignore[method-assign]
                    self.tools = await self._listed(client)
                    self.information = _information(client)
                self._opened.set_result(client)
                await self._note("")
                await self._until_the_end()
        except TimeoutError:
            fault = NotConnected(
                self._words(f"it did not answer within {self.server.timeout_seconds:g} seconds"),
                retryable=True,
            )
        except Exception as error:
            fault = self._why_not(_first(error))
        finally:
            self._ending.set()
            self._on_end(self)
            if not self._opened.done():
                self._opened.set_exception(fault)
                # Whoever waited may have gone.
                self._opened.exception()
        if self._opened.exception():
            await self._note(fault.message)

    async def _client(self, stack: AsyncExitStack) -> Client:
        information = mcp_types.Implementation(name=settings.APP_NAME, version=settings.VERSION)
        options: dict[str, Any] = {"client_info": information, "message_handler": self._hear}
        if self.server.transport == McpServer.Transport.STDIO:
            self._process = ServerProcess(
                self.server.command,
                self.server.arguments,
                {**self.server.environment, **self._secrets},
                clean=self.clean,
                on_end=self.end,
            )
            return Client(self._process.connected(), **options)
        client = await stack.enter_async_context(http.client({**self.server.headers, **self._secrets}))
        transport = streamable_http_client(
            self.server.url, http_client=client, max_sse_event_size=http.MESSAGE_LIMIT
        )
        return Client(transport, **options)

    async def _hear(self, message: object) -> None:
        """Progress and other notifications: they only show that the server is alive."""
        self._heard = time.monotonic()

    async def _listed(self, client: Client) -> list[mcp_types.Tool] | McpFault:
        """All pages."""
        tools: list[mcp_types.Tool] = []
        cursor: str | None = None
        characters = 0
        try:
            for _ in range(MOST_PAGES):
                page = await client.list_tools(cursor=cursor, cache_mode="bypass")
                tools, cursor = [*tools, *page.tools], page.next_cursor
                characters += _length(page)
                if len(tools) > MOST_TOOLS or characters > MOST_CHARACTERS:
                    break
                if not cursor:
                    return tools
        except MCPError as error:
            if error.code in (mcp_types.CONNECTION_CLOSED, http.NOT_SENT, http.BROKEN_OFF):
                raise
            return self._failed(_message(error))
        except ValidationError as error:
            return self._failed(f"its list of tools is not valid ({error.error_count()} faults)")
        return self._failed(
            f"it lists more than {MOST_TOOLS:,} tools, or {MOST_PAGES} pages or {MOST_CHARACTERS:,} characters of them"
        )

    async def _until_the_end(self) -> None:
        """Until somebody ends it, or nobody has used it for a while."""
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.MCP_IDLE_SECONDS):
                    await self._ending.wait()
            if not self._calls and time.monotonic() - self._used >= settings.MCP_IDLE_SECONDS:
                return

    def _why_not(self, error: BaseException) -> McpFault:
        match error:
            case NotConnected():
                return NotConnected(self._words(error.message), retryable=error.retryable)
            case MCPError():
                said = self._why_lost(error)
                retryable = error.code not in (http.REFUSED, mcp_types.UNSUPPORTED_PROTOCOL_VERSION)
            case _:
                logger.warning("mcp_session_failed", server=self.server.name, error=repr(error)[:500])
                said, retryable = f"the session failed ({type(error).__name__})", True
        if self._process and self._process.said:
            said = f"{said.rstrip('.')}. It said: {' / '.join(self._process.said)}"
        return NotConnected(self._words(said), retryable=retryable)

    async def _note(self, message: str) -> None:
        """For people to see; no call depends on it."""
        try:
            await in_thread(health.note, self.server, message)
        except Exception as error:
            logger.warning("mcp_health_not_stored", server=self.server.name, error=repr(error)[:500])


async def _unchecked(name: str, result: CallToolResult) -> None:
    """In place of the SDK's check against the schema of the server's own: its patterns could take hours of a CPU.

    Nothing here relies on what a server promises of its answers.
    """


def _length(page: mcp_types.ListToolsResult) -> int:
    """In characters."""
    return len(json.dumps(page.model_dump(), default=str))


def _information(client: Client) -> dict[str, str]:
    own = client.server_info
    said = {"name": own.name, "version": own.version} if own else {}
    return {name: value[:100] for name, value in (said | {"protocol": client.protocol_version}).items()}


def _message(error: MCPError) -> str:
    """What is no message of the protocol is told in one line: the rest of it quotes pieces of what came."""
    return error.message.partition("\n")[0] if error.code == mcp_types.PARSE_ERROR else error.message


def _first(error: BaseException) -> BaseException:
    """The first of the errors in a group of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
