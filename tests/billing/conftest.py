from __future__ import annotations

import asyncio
import csv
import io
import socket
import threading
import time

import pytest
import uvicorn
from django.core.asgi import get_asgi_application


async def _joined(chunks) -> bytes:
    return b"".join([chunk async for chunk in chunks])


@pytest.fixture
def download():
    """`download(response)`: the whole body of a streamed response, as text."""

    def read(response) -> str:
        assert response.status_code == 200, response.content
        return asyncio.run(_joined(response.streaming_content)).decode()

    return read


@pytest.fixture
def rows(download):
    """`rows(response)`: the CSV's rows as dictionaries."""

    def parse(response) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(download(response), newline="")))

    return parse


@pytest.fixture
def server(transactional_db):
    """The base URL of the platform served by uvicorn over a real socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(get_asgi_application(), log_level="critical", lifespan="off", ws="none")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
    running.should_exit = True
    thread.join(10)
