"""`manage.py init_db`, against an embedded server of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from agentplatform.database import use_embedded
from tests.platform.embedded import ask, open_folder

PROJECT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.slow
NOBODY = "postgresql://nobody@127.0.0.1:9/none"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a database that does not exist, on a server that does."""
    with open_folder() as folder, use_embedded(folder) as url:
        yield url.replace("@/agentplatform?", "@/fresh?")


def drop_database(url: str) -> None:
    with psycopg.connect(url.replace("@/fresh?", "@/postgres?"), autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS fresh")


def create_empty_database(url: str) -> None:
    with psycopg.connect(url.replace("@/fresh?", "@/postgres?"), autocommit=True) as server:
        server.execute("CREATE DATABASE fresh")


def init_db(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "init_db", *arguments]
    environment = os.environ | {"DATABASE_URL": url}
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)


def test_creates_the_database_and_its_tables_and_then_nothing_more(url: str) -> None:
    drop_database(url)
    first, second = init_db(url), init_db(url)
    assert ask(url, "SELECT to_regclass('accounts_user') IS NOT NULL") is True
    assert ("Created the database 'fresh'" in first.stdout, "(0 migrations" in second.stdout) == (True, True)


def test_creates_nothing_with_no_fix(url: str) -> None:
    drop_database(url)
    refused = init_db(url, "--no-fix")
    assert (refused.returncode, "'fresh' is missing" in refused.stderr) == (1, True)


def test_migrates_nothing_with_no_fix(url: str) -> None:
    drop_database(url)
    create_empty_database(url)
    refused = init_db(url, "--no-fix")
    assert (refused.returncode, "migrations are not applied" in refused.stderr) == (1, True)


def test_takes_the_address_from_the_file_that_it_is_given(url: str, tmp_path: Path) -> None:
    drop_database(url)
    (tmp_path / "env").write_text(f"DATABASE_URL={url}\n")
    asked = init_db(NOBODY, "--no-fix", "--env", str(tmp_path / "env"))
    assert "'fresh' is missing" in asked.stderr


def test_says_when_the_server_cannot_be_reached() -> None:
    assert "check DATABASE_URL" in init_db(NOBODY).stderr
