"""A run's events as server-sent events: `id` is `seq`, `event` is `type`, the data line is `data` itself."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence

import orjson
from django.http import StreamingHttpResponse

from runs.events import EventType, StoredEvent
from runs.follow import Follower

# What browsers wait before they reconnect, milliseconds: sent first, and again when the server stops.
RETRY = b"retry: 1000\n\n"
HEARTBEAT = b": heartbeat\n\n"


class EventStream:
    """The body of an SSE response. `close` is called by Django however the response ends."""

    def __init__(
        self, follower: Follower, known: Sequence[StoredEvent] | None = None, *, explain_failure: bool = False
    ) -> None:
        self._follower = follower
        self._known = known
        self._explain_failure = explain_failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield RETRY
        async for batch in self._follower.batches(self._known):
            yield b"".join(map(frame, batch)) if batch else HEARTBEAT
            if batch and self._explain_failure and batch[-1].type == EventType.RUN_FAILED:
                yield error_frame(batch[-1])
        if not self._follower.ended:
            yield RETRY

    def close(self) -> None:
        self._follower.close()


def frame(event: StoredEvent) -> bytes:
    return f"id: {event.seq}\nevent: {event.type}\ndata: {event.data}\n\n".encode()


def error_frame(failed: StoredEvent) -> bytes:
    """What a chat's stream says after `run_failed`: `error {error}`."""
    error = orjson.loads(failed.data)["error"]
    return b"event: error\ndata: " + orjson.dumps({"error": error}) + b"\n\n"


def stream_response(stream: AsyncIterable[bytes]) -> StreamingHttpResponse:
    """The response around a stream; nothing on the way may buffer or change it."""
    response = StreamingHttpResponse(stream, content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response
