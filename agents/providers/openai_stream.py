"""The stream of an OpenAI-compatible endpoint, read for speed: chunks as plain dictionaries, joined as they come in.

The stock client builds a Pydantic model per token, which costs more than all else that a run does. This goes
through the client's documented way for other endpoints (`client.post`), so authentication, errors and time limits
stay the client's; only the decoding of the body is ours. What one network read has brought is joined into one chunk:
under load, when reads bring many tokens at once, each costs less.
"""

from __future__ import annotations

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
PLAIN_DELTA = {"content", "role"}

Chunk = dict[str, Any]


class JoiningStream(AsyncStream[object]):
    """Yields chunks as dictionaries. Raises the client's own errors, also for a body cut short."""

    async def __stream__(self) -> AsyncIterator[object]:
        finished = False
        lines = _Lines()
        try:
            async for data in self._reads():
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
            await self.response.aclose()

    async def _reads(self) -> AsyncIterator[bytes]:
        try:
            async for data in self.response.aiter_bytes():
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
