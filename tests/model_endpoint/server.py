"""A tiny HTTP/1.1 server on bare asyncio streams, frugal because it runs beside what is measured."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from tests.model_endpoint.replies import (
    FAILED_ATTEMPTS,
    Answer,
    Defaults,
    Hang,
    Raw,
    Reply,
    choose,
    embeddings,
    error,
    last_user_text,
    message_text,
)
from tests.model_endpoint.wire import Frames, completion, document, http, model_list

REMEMBERED_REQUESTS = 10_000


@dataclass(slots=True)
class Received:
    """One request as it came in. `left` turns true when the client went away before the answer was whole."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    left: bool = False

    @property
    def api_key(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


class ModelServer:
    """The endpoint itself, on an event loop of the caller's."""

    def __init__(self, defaults: Defaults, api_key: str | None = None) -> None:
        """With `api_key`, any other key is refused by 401."""
        self.defaults = defaults
        self.api_key = api_key
        self.requests: deque[Received] = deque(maxlen=REMEMBERED_REQUESTS)
        self.scripted: deque[str] = deque()
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.said: dict[str, deque[str]] = {}
        self.base_url = ""
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=1024)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while received := await read_request(reader):
                if not await self._answer(received, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client left, which is its right at any moment
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(
        self, received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answers one request; whether the connection may serve another."""
        if received.path == "/v1/models":
            writer.write(model_list())
            return True
        self.requests.append(received)
        is_embedding = received.path == "/v1/embeddings"
        reply = self._embeddings(received) if is_embedding else self._reply(received)
        if isinstance(reply, Hang):
            await wait_for_departure(received, reader)
            return False
        if isinstance(reply, Raw):
            writer.write(http(reply))
            return True
        if received.body.get("stream"):
            return await Stream(reply, received, reader, writer).run()
        return await answer_whole(reply, received, reader, writer)

    def _reply(self, received: Received) -> Reply:
        if received.path != "/v1/chat/completions":
            return error(404)
        if self.api_key is not None and received.api_key != self.api_key:
            return error(401, received.api_key)
        if (text := self._said(received.body)) is not None:
            return Answer(tokens=(text,), delay_ms=self.defaults.delay_ms)
        return choose(self._behaviour(received.body), received.body, self.defaults, received.api_key)

    def _embeddings(self, received: Received) -> Reply:
        if self.api_key is not None and received.api_key != self.api_key:
            return error(401, received.api_key)
        return embeddings(self._behaviour(received.body), received.body, received.api_key)

    def _said(self, body: dict[str, Any]) -> str | None:
        """What the test has said that a request with this text is answered; the last answer is given again."""
        asked = "\n".join(message_text(message) for message in body.get("messages", []))
        answers = next((answers for part, answers in self.said.items() if part in asked), None)
        if answers is None:
            return None
        return answers.popleft() if len(answers) > 1 else answers[0]

    def _behaviour(self, body: dict[str, Any]) -> str:
        if self.scripted:
            return self.scripted.popleft()
        model = str(body.get("model"))
        if not (match := FAILED_ATTEMPTS.match(model)):
            return model
        attempt = (model, last_user_text(body))
        self.attempts[attempt] += 1
        failures = 1 if match["times"] == "once" else int(match["times"])
        if self.attempts[attempt] > failures:
            return "text"
        return f"error-{match['behaviour']}" if match["behaviour"].isdigit() else match["behaviour"]


async def read_request(reader: asyncio.StreamReader) -> Received | None:
    """The next request of a connection, or None when there is no further one."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    request_line, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(request_line.split(" ")[1], headers, json.loads(body) if body else {})


async def wait_for_departure(received: Received, reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass
    received.left = True


async def answer_whole(
    answer: Answer, received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """The answer as one document, after the time that its tokens take."""
    await asyncio.sleep(answer.delay_ms * max(0, len(answer.tokens) - 1) / 1000)
    payload = document(completion(answer, received.body))
    if not answer.breaks:
        writer.write(payload)
        return True
    writer.write(payload[: len(payload) - len(payload) // 4])
    if answer.breaks == "stall":
        await wait_for_departure(received, reader)
    return False


class Stream:
    """One answer as server-sent events, kept against an absolute clock.

    The first token is due at once, token `i` after `i * delay_ms`; what is due together leaves in one send.
    Timer callbacks drive it, which cost half as much as a task that sleeps: there are 10,000 tokens a second.
    """

    OPENING = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    def __init__(
        self, answer: Answer, received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._answer, self._received, self._reader, self._writer = answer, received, reader, writer
        self._loop = asyncio.get_running_loop()
        self._step_ns = int(answer.delay_ms * 1_000_000)
        self._start_ns = time.monotonic_ns()
        self._frames = Frames(answer, received.body, self._start_ns)
        count = len(self._frames.pieces)
        self._last = count // 2 if answer.breaks else count
        self._sent = 0
        self._ended = self._loop.create_future()

    async def run(self) -> bool:
        """Sends all of it; whether the connection may serve another request."""
        self._writer.write(self.OPENING)
        self._tick()
        try:
            await self._ended
        finally:
            self._ended.cancel()
        if self._answer.breaks == "stall":
            await wait_for_departure(self._received, self._reader)
        await self._writer.drain()
        return not self._answer.breaks and not self._received.left

    def _tick(self) -> None:
        if self._ended.done():
            return
        if self._writer.transport.is_closing() or self._reader.at_eof():
            self._received.left = True
            self._ended.set_result(None)
            return
        due = self._due()
        self._send(due)
        if self._sent < self._last:
            wait_ns = self._start_ns + self._sent * self._step_ns - time.monotonic_ns()
            self._loop.call_later(max(0, wait_ns) / 1e9, self._tick)
        else:
            self._ended.set_result(None)

    def _due(self) -> int:
        """How many pieces should have been sent by now."""
        if not self._step_ns:
            return self._last
        return min(self._last, (time.monotonic_ns() - self._start_ns) // self._step_ns + 1)

    def _send(self, due: int) -> None:
        payload = b"".join(self._frames.pieces[self._sent : due])
        if self._sent == 0:
            payload = self._frames.head + payload
        self._sent = due
        complete = due >= self._last and not self._answer.breaks
        if complete:
            payload += self._frames.tail
        chunk = b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""
        self._writer.write(chunk + b"0\r\n\r\n" if complete else chunk)
