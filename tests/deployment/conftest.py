"""What tests of whole installations need: agents with a real model endpoint, and databases beside that of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.engine.conftest import agent_on, close_connections, endpoint, endpoint_process, worker
from tests.processes import PROJECT, database_url

__all__ = ["agent_on", "close_connections", "endpoint", "endpoint_process", "worker"]


@pytest.fixture
def empty_database() -> Iterator[str]:
    """The URL of a new database on the server of the tests."""
    with _database() as url:
        yield url


@pytest.fixture(scope="module")
def database_of_module() -> Iterator[str]:
    """The same for all tests of a module."""
    with _database() as url:
        yield url


@contextmanager
def _database() -> Iterator[str]:
    name, server = f"deployed_{uuid.uuid4().hex[:12]}", os.environ["DATABASE_URL"]
    postgres = urlsplit(server)._replace(path="/postgres").geturl()
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def command(tmp_path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """`command("backup", "file", DATABASE_URL=…)`: manage.py in a process of its own; its files are in `tmp_path`."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        here = {"DATABASE_URL": database_url(), "STORAGE_URL": str(tmp_path / "files")}
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env={**os.environ, **here, **environment},
            capture_output=True,
            timeout=120,
        )

    return run
