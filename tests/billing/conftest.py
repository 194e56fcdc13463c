from __future__ import annotations

import asyncio
import csv
import io
import socket
import threading
import time
from typing import Any

import pytest
import uvicorn
from django.core.asgi import get_asgi_application
from django.db import transaction

from billing.exports import jobs
from billing.models import UsageExport
from tests.factories import UsageRecordFactory


def joined(response) -> bytes:
    """The whole body, streamed or not."""
    return asyncio.run(_joined(response.streaming_content)) if response.streaming else response.content


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


@pytest.fixture
def used(workspace):
    """`used(model="gpt-5")`: a settled call in acme."""

    def record(**fields):
        return UsageRecordFactory(workspace=workspace, **fields)

    return record


@pytest.fixture
def stored(tmp_path, settings):
    """A storage of the test's own; `stored()` are the names of all files in it."""
    folder = tmp_path / "stored"
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": backend, "OPTIONS": {"location": str(folder)}},
    }
    return lambda: sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def ask(api, audrey):
    """`ask(format="jsonl")`: an export that audrey has asked for; the response with `ask.response`."""

    def post(user=audrey, status=202, **body):
        response = api(user).post("/billing/exports", body, format="json")
        assert response.status_code == status, response.content
        return response.json()

    return post


@pytest.fixture
def made(ask, stored):
    """`made(format="jsonl")`: an export that audrey has asked for and a worker has made."""

    def make(**body):
        asked = ask(**body)
        jobs.make(jobs.claim_next())
        return UsageExport.objects.get(pk=asked["id"])

    return make


@pytest.fixture
def in_vain():
    """`with in_vain():` gives back what it has written."""

    class _InVain:
        def __enter__(self) -> None:
            self._atomic = transaction.atomic()
            self._atomic.__enter__()

        def __exit__(self, *error: Any) -> None:
            transaction.set_rollback(rollback=True)
            self._atomic.__exit__(*error)

    return _InVain
