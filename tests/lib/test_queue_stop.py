"""The worker's queue ends whenever it is asked to, even while it cannot reach its database, and its chores with it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from procrastinate.psycopg_connector import PsycopgConnector

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


class Deaf(PsycopgConnector):
    """Its opening does not pass on that it was cancelled."""

    async def open_async(self, pool: Any = None) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


async def test_ends_when_its_opening_has_swallowed_that_it_was_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue, "_worker_connector", Deaf)
    ready: list[bool] = []
    working = asyncio.create_task(
        queue.work(["any"], concurrency=1, drain_seconds=1, context={}, ready=lambda: ready.append(True))
    )
    await asyncio.sleep(0.1)
    working.cancel()
    done, _pending = await asyncio.wait([working], timeout=5)
    assert (len(done), ready) == (1, [])


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
