"""A run as a stream of OpenAI's chunks: text as it comes, then calls of the client's tools, the end, and usage.

Text that has been sent cannot be taken back. A model call that is made again, because it broke off or its worker was
lost, goes on where what it says is what was said; where it says something else, the stream ends with an error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

import orjson

from agentplatform.lib.errors import PlatformError
from agentplatform.lib.json import dumps
from runs.commands import Started
from runs.events import EventType, StoredEvent
from runs.follow import Follower
from runs.outcomes import MOVES, RESTS
from runs.protocols.openai.answers import Answer, Head, answer_at
from runs.protocols.openai.errors import Unfinished, error_json
from runs.sse import HEARTBEAT, EventStream

DONE = b"data: [DONE]\n\n"
BETWEEN_STEPS = "\n\n"

Json = dict[str, Any]


class Said:
    """What has been sent of an answer that may be begun again. Positions are in characters."""

    def __init__(self) -> None:
        self._text = ""
        self._position = 0
        self._starts: list[tuple[int, int, int]] = []
        """Of each piece of text: its event's seq and step, and where it begins."""

    def fresh(self, event: StoredEvent) -> str:
        """What of a piece has not been sent yet. Raises Unfinished where it contradicts what has been."""
        text = orjson.loads(event.data)["content"]
        if self._starts and self._starts[-1][1] != event.step:
            text = BETWEEN_STEPS + text
        self._starts.append((event.seq, event.step, self._position))
        sent = self._text[self._position : self._position + len(text)]
        if not text.startswith(sent):
            raise Unfinished(
                "The answer was begun again, and what has been sent of it is void. The run goes on.",
                "answer_restarted",
                run_id=str(event.run_id),
            )
        self._position += len(text)
        self._text += text[len(sent) :]
        return text[len(sent) :]

    def begin_again(self, event: StoredEvent) -> None:
        """Some of the last pieces are void, as `runs.events.rebuild_text` has it."""
        if event.type == EventType.RETRYING:
            kept = [start for start in self._starts if start[1] != event.step]
        else:
            valid_to = orjson.loads(event.data)["supersedes_after_seq"]
            kept = [start for start in self._starts if start[0] <= valid_to]
        if len(kept) < len(self._starts):
            self._position = self._starts[len(kept)][2]
        self._starts = kept


class CompletionStream(EventStream):
    """The body of a streamed completion."""

    def __init__(self, follower: Follower, started: Started, head: Head, *, counts_usage: bool) -> None:
        super().__init__(follower, started.events)
        self._last = started.events[-1]
        self._head = head
        self._counts_usage = counts_usage
        self._said = Said()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._frames([self._head.piece({"role": "assistant", "content": ""})])
        try:
            async for batch in self._follower.batches(self._known):
                if frames := self._frames(self._pieces(batch)) if batch else HEARTBEAT:
                    yield frames
                self._last = next((event for event in reversed(batch) if event.type in MOVES), self._last)
                if self._last.type in RESTS:
                    break
            yield self._frames(self._ending(await answer_at(self._last))) + DONE
        except PlatformError as error:
            yield _frame(error_json(error))

    def _pieces(self, batch: Sequence[StoredEvent]) -> Iterator[Json]:
        for event in batch:
            if event.type == EventType.CONTENT_DELTA:
                if text := self._said.fresh(event):
                    yield self._head.piece({"content": text})
            elif event.type == EventType.THOUGHT_DELTA:
                yield self._head.piece({"reasoning_content": orjson.loads(event.data)["content"]})
            elif event.type in (EventType.RETRYING, EventType.ATTEMPT_STARTED):
                self._said.begin_again(event)

    def _ending(self, answer: Answer) -> Iterator[Json]:
        for index, call in enumerate(answer.calls):
            yield self._head.piece({"tool_calls": [{"index": index, **call}]})
        yield self._head.piece({}, answer.finish_reason)
        if self._counts_usage:
            yield self._head.document("chat.completion.chunk", []) | {"usage": answer.usage}

    def _frames(self, pieces: Iterable[Json]) -> bytes:
        empty = {"usage": None} if self._counts_usage else {}
        return b"".join(_frame({**empty, **piece}) for piece in pieces)


def _frame(document: Json) -> bytes:
    return b"data: " + dumps(document) + b"\n\n"
