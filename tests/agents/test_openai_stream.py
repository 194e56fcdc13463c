"""How the stream of an OpenAI-compatible endpoint is read: what has come in meanwhile, in one piece."""

from __future__ import annotations

import asyncio

import pytest

from agents.providers import openai_stream
from agents.providers.openai_stream import _Reader, joined


class Body:
    """An answer's body, sent piece by piece. None ends it, an exception breaks it."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue = asyncio.Queue()
        self.read = 0

    async def __aiter__(self):
        while (piece := await self.pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            self.read += 1
            yield piece

    async def send(self, *pieces) -> None:
        for piece in pieces:
            self.pieces.put_nowait(piece)
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
async def body():
    return Body()


@pytest.fixture
async def reader(body):
    reader = _Reader(aiter(body))
    yield reader
    await reader.stop()


async def test_gathers_what_arrives_while_nobody_takes(reader, body):
    await body.send(b"a", b"b", b"c")

    assert await reader.take() == b"abc"


async def test_waits_for_the_next_piece(reader, body):
    taking = asyncio.create_task(reader.take())
    await body.send(b"a")

    assert await taking == b"a"


async def test_ends_with_nothing(reader, body):
    await body.send(b"a", None)

    assert [await reader.take(), await reader.take(), await reader.take()] == [b"a", b"", b""]


async def test_gives_what_came_before_it_broke(reader, body):
    await body.send(b"a", OSError("gone"))

    assert await reader.take() == b"a"
    with pytest.raises(OSError, match="gone"):
        await reader.take()


async def test_stops_reading_when_too_much_has_gathered(reader, body, monkeypatch):
    monkeypatch.setattr(openai_stream, "MOST_GATHERED", 2)
    await body.send(*[b"x"] * 9)
    gathered = body.read
    await reader.take()
    await body.send()

    assert (gathered, body.read) == (3, 6)


async def test_leaves_no_task_behind(body):
    reader = _Reader(aiter(body))
    await reader.stop()

    assert asyncio.all_tasks() == {asyncio.current_task()}


def chunk(content, **more):
    return {"choices": [{"delta": {"content": content}, **more}]}


def test_joins_neighbours_that_hold_only_text():
    chunks = iter([chunk("a"), chunk("b"), chunk("c", finish_reason="stop"), chunk("d")])

    assert [piece["choices"][0]["delta"]["content"] for piece in joined(chunks)] == ["ab", "c", "d"]
