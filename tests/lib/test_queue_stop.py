"""The worker's queue ends whenever it is asked to, even while it cannot reach its database, and its chores with it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from agentplatform.lib import queue


@pytest.fixture
def silent_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database server that lets one connect and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        host, port = listener.getsockname()
        parameters = {"host": host, "port": port, "user": "nobody", "dbname": "none", "connect_timeout": 2}
        monkeypatch.setattr(queue, "connector_params", lambda: parameters)
        yield


@pytest.mark.usefixtures("silent_server")
async def test_leaves_no_task_behind_when_it_is_cancelled_while_it_opens() -> None:
    working = asyncio.create_task(
        queue.work(["any"], concurrency=1, drain_seconds=1, context={}, ready=lambda: None)
    )
    await asyncio.sleep(0.3)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.usefixtures("silent_server")
async def test_does_the_chores_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    async def keep_house() -> None:
        told.append("begins")
        try:
            await asyncio.sleep(60)
        finally:
            told.append("ends")

    monkeypatch.setattr(queue, "keep_house", keep_house)
    working = asyncio.create_task(
        queue.work(["any"], concurrency=1, drain_seconds=1, context={}, ready=lambda: None)
    )
    await asyncio.sleep(0.3)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert told == ["begins", "ends"]
