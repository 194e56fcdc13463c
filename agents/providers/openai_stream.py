"""The stream of an OpenAI-compatible endpoint, read for speed: chunks as plain dictionaries, joined as they come in.

The stock client builds a Pydantic model per token, which costs more than all else that a run does. This goes
through the client's documented way for other endpoints (`client.post`), so authentication, errors and time
limits stay the client's; only the decoding of the body is ours. What has arrived while the chunk before was
worked on is joined into one: the busier the process is, the less each token costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import orjson
from openai import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    AsyncOpenAI,
    AsyncStream,
)

DONE = b"[DONE]"
# A line that never ends must not fill the memory.
LONGEST_LINE = 8 * 1024 * 1024
# Bytes that gather before reading pauses.
MOST_GATHERED = 256 * 1024
PLAIN_DELTA = {"content", "role"}

Chunk = dict[str, Any]


class JoiningStream(AsyncStream[object]):
    """Yields chunks as dictionaries. Raises the client's own errors, also for a body cut short."""

    async def __stream__(self) -> AsyncIterator[object]:
        finished = False
        lines = _Lines()
        reader = _Reader(self.response.aiter_bytes())
        try:
            async for data in self._reads(reader):
                for chunk in joined(self._decode(line) for line in lines.feed(data) if line != DONE):
                    finished = finished or any(
                        choice.get("finish_reason") for choice in chunk.get("choices") or ()
                    )
                    yield chunk
                finished = finished or lines.done
            if not finished:
                raise APIConnectionError(
                    message="The stream ended before the answer did.", request=self.response.request
                )
        finally:
            await reader.stop()
            await self.response.aclose()

    async def _reads(self, reader: _Reader) -> AsyncIterator[bytes]:
        try:
            while data := await reader.take():
                yield data
        except httpx2.TimeoutException as error:
            raise APITimeoutError(request=self.response.request) from error
        except httpx2.RequestError as error:
            raise APIConnectionError(request=self.response.request) from error

    def _decode(self, line: bytes) -> Chunk:
        try:
            chunk = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise APIResponseValidationError(
                self.response, None, message="The stream holds no valid JSON."
            ) from error
        if not isinstance(chunk, dict):
            raise APIResponseValidationError(self.response, None, message="The stream holds no chunks.")
        if fault := chunk.get("error"):
            message = fault.get("message") if isinstance(fault, dict) else None
            raise APIError(
                str(message or "An error occurred during streaming"), self.response.request, body=fault
            )
        return chunk


class _Reader:
    """Reads a body in a task of its own, so that what arrives while a chunk is worked on gathers into the next."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._gathered = bytearray()
        self._changed: asyncio.Future[None] | None = None
        self._task = asyncio.create_task(self._read(body))
        self._task.add_done_callback(lambda _: self._wake())

    async def _read(self, body: AsyncIterator[bytes]) -> None:
        async for data in body:
            self._gathered += data
            self._wake()
            while len(self._gathered) > MOST_GATHERED:
                await self._change()

    async def take(self) -> bytes:
        """All that has arrived, at least a byte; b"" at the end. Raises what reading raised."""
        while not self._gathered and not self._task.done():
            await self._change()
        if not self._gathered:
            await self._task
        data = bytes(self._gathered)
        self._gathered.clear()
        self._wake()
        return data

    async def stop(self) -> None:
        """Ends reading."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _change(self) -> None:
        """Returns when the other side has done something: only one side ever waits, for bytes or for room."""
        self._changed = asyncio.get_running_loop().create_future()
        await self._changed

    def _wake(self) -> None:
        if self._changed and not self._changed.done():
            self._changed.set_result(None)


class _Lines:
    """Splits what arrives into the payloads of `data:` lines. `done` once [DONE] has come."""

    def __init__(self) -> None:
        self.done = False
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        *lines, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            raise ValueError("A line of the stream is too long.")
        for line in lines:
            if line.startswith(b"data:"):
                payload = line[5:].strip()
                self.done = self.done or payload == DONE
                yield payload


def joined(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Chunks with neighbours that hold nothing but text made one."""
    last: Chunk | None = None
    for chunk in chunks:
        if last is not None and _is_text(last) and _is_text(chunk):
            last["choices"][0]["delta"]["content"] += chunk["choices"][0]["delta"]["content"]
            continue
        if last is not None:
            yield last
        last = chunk
    if last is not None:
        yield last


def _is_text(chunk: Chunk) -> bool:
    choices = chunk.get("choices")
    if not choices or len(choices) != 1 or chunk.get("usage"):
        return False
    choice = choices[0]
    delta = choice.get("delta") or {}
    return (
        isinstance(delta.get("content"), str)
        and delta.keys() <= PLAIN_DELTA
        and not (choice.get("finish_reason") or choice.get("logprobs"))
    )


class StreamingCompletions:
    """Stands where LangChain expects `client.chat.completions`: streams are ours, all else is the client's own."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def create(self, **payload: Any) -> Any:
        if not payload.get("stream"):
            return await self._client.chat.completions.create(**payload)
        extra = payload.pop("extra_body", None) or {}
        return await self._client.post(
            "/chat/completions",
            body={**payload, **extra},
            cast_to=object,
            stream=True,
            stream_cls=JoiningStream,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client.chat.completions, name)
