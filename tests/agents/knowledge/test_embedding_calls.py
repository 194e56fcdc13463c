"""Paid calls for embeddings: settled however their task ends."""

from __future__ import annotations

import asyncio
import threading
import uuid
from types import SimpleNamespace

import pytest

from agents.knowledge import embedding
from agents.metering import Payer, Spent


async def test_settles_a_call_that_is_cancelled_while_it_is_opened(monkeypatch):
    settled, is_opening, may_open = [], threading.Event(), threading.Event()

    def open_slowly(call):
        is_opening.set()
        may_open.wait(5)
        return settled.append

    monkeypatch.setattr(embedding, "open_call", open_slowly)
    embedder = embedding.Embedder(uuid.uuid4(), SimpleNamespace(timeout=1), "", Payer())
    task = asyncio.create_task(embedding.embedded(embedder, ["text"]))
    await asyncio.to_thread(is_opening.wait, 5)
    task.cancel()
    await asyncio.sleep(0)
    may_open.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert settled == [Spent(ok=False)]
