"""A server that is a process of ours: messages are lines of JSON on its input and output.

The SDK's own transport takes a line of any length and hands stderr through; here every line is bounded, what the
server says on stderr is logged up to a limit, and its whole process group ends with the session.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
import mcp_types
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from agents.mcp import commands
from agents.mcp.faults import NotConnected

logger = structlog.get_logger(__name__)

MESSAGE_LIMIT = 10_000_000
"""Bytes of one message."""
GRACE_SECONDS = 1.0
"""How long a server has to end once its input has, and again after SIGTERM."""
LOGGED = 1_000
"""Characters of stderr in one entry of the log."""
MOST_LOGGED = 200
"""Entries of one session."""

Incoming = SessionMessage | Exception


@dataclass
class ServerProcess:
    """The command of a server, and once it has been started, what became of it."""

    command: str
    arguments: Sequence[str]
    variables: Mapping[str, str]
    clean: Callable[[str], str] = str
    """Takes the values of secrets out of what it says."""
    on_end: Callable[[], None] = lambda: None
    """Called once there will be no more messages."""
    said: deque[str] = field(default_factory=lambda: deque(maxlen=5), init=False)
    """The last lines that it wrote to stderr."""
    fault: str = field(default="", init=False)
    """Why there will be no more messages; empty as long as there may be."""
    process: Process | None = field(default=None, init=False)

    @asynccontextmanager
    async def connected(
        self,
    ) -> AsyncIterator[tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]]:
        """The streams of its messages, both ways. Whatever happens, no process is left behind.

        Raises NotConnected where it cannot be started.
        """
        self.process = process = await self._start()
        incoming, outgoing = (
            anyio.create_memory_object_stream[Incoming](0),
            anyio.create_memory_object_stream[SessionMessage](0),
        )
        tasks = [
            asyncio.create_task(self._read(process, incoming[0])),
            asyncio.create_task(self._write(process, outgoing[1], incoming[0])),
            asyncio.create_task(self._listen(process)),
        ]
        try:
            yield incoming[1], outgoing[0]
        finally:
            await _uninterrupted(asyncio.create_task(_stop(process)))
            # It may have said why it ended.
            await asyncio.wait(tasks[-1:], timeout=GRACE_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for stream in (*incoming, *outgoing):
                stream.close()

    async def _start(self) -> Process:
        if fault := commands.command_fault(self.command):
            raise NotConnected(fault)
        path = commands.executable(self.command)
        if path is None:
            raise NotConnected(f"The command {self.command!r} is not installed on the platform's machine.")
        try:
            return await asyncio.create_subprocess_exec(
                path,
                *self.arguments,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=commands.environment(self.variables),
                cwd=commands.working_directory(),
                limit=MESSAGE_LIMIT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise NotConnected(f"The command {self.command!r} cannot be started: {error}.") from error

    async def _read(self, process: Process, messages: MemoryObjectSendStream[Incoming]) -> None:
        """Hands its messages on until its output ends, which ends the session."""
        assert process.stdout
        try:
            async with messages:
                while line := await self._line(process.stdout):
                    await messages.send(_parsed(line))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return
        finally:
            self.on_end()

    async def _line(self, output: asyncio.StreamReader) -> bytes:
        """The next line; empty at the end."""
        try:
            return await output.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            self.fault = self.fault or "its process has ended"
        except asyncio.LimitOverrunError:
            self.fault = f"it sent a message longer than {MESSAGE_LIMIT:,} bytes"
        return b""

    async def _write(
        self,
        process: Process,
        messages: MemoryObjectReceiveStream[SessionMessage],
        incoming: MemoryObjectSendStream[Incoming],
    ) -> None:
        assert process.stdin
        try:
            async for message in messages:
                process.stdin.write(_line_of(message))
                await process.stdin.drain()
        except OSError:
            self.fault = self.fault or "its process does not take any input"
            await incoming.aclose()

    async def _listen(self, process: Process) -> None:
        """Reads stderr to its end, for a server that nobody listens to would stand still."""
        assert process.stderr
        entries = 0
        while line := await _bounded_line(process.stderr):
            if not (text := self.clean(line.decode(errors="replace")).strip()[:LOGGED]):
                continue
            self.said.append(text)
            entries += 1
            if entries <= MOST_LOGGED:
                logger.info("mcp_server_said", command=self.command, text=text)
            elif entries == MOST_LOGGED + 1:
                logger.warning("mcp_server_said_too_much", command=self.command, entries=MOST_LOGGED)


async def _bounded_line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:
        return b"(a line that is too long)\n"


def _parsed(line: bytes) -> Incoming:
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        # What is no message is passed over: some servers write other text to their output.
        return error


def _line_of(message: SessionMessage) -> bytes:
    return message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


async def _stop(process: Process) -> None:
    """As the protocol has it: its input ends, then SIGTERM, then SIGKILL for all that it has started."""
    assert process.stdin
    process.stdin.close()
    if not await _ended(process):
        _signal(process, signal.SIGTERM)
        await _ended(process)
    _signal(process, signal.SIGKILL)
    await _ended(process)
    # Lets go of the pipes, which something that has left the group may hold open. There is no public way to do it.
    process._transport.close()  # type: ignore[attr-defined]


async def _ended(process: Process) -> bool:
    """Whether it ends in time. Polled, because `wait` waits for its pipes too, which children may hold open."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE_SECONDS):
            while process.returncode is None:
                await asyncio.sleep(0.01)
    return process.returncode is not None


def _signal(process: Process, number: signal.Signals) -> None:
    """To its whole group, whose number is its own: it was started as the first of a session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _uninterrupted(task: asyncio.Task[None]) -> None:
    """Waits for `task` even where this one is cancelled meanwhile, and is cancelled then."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
