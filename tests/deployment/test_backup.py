"""`manage.py backup` and `restore`: what comes back is what there was, proven by verification and reconciliation."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db import connection
from psycopg import sql

from agentplatform.backup import programs
from agentplatform.backup.errors import BackupError
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.hash_chain import seal_next
from agents.knowledge import vectors
from agents.models import Secret
from billing.sealing import LEDGER
from tests.engine.support import finished, start, until
from tests.factories import DocumentFactory, KnowledgeBaseFactory
from tests.processes import PROJECT, database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.external]
CONTENT = b"what somebody has uploaded" * 50_000


@pytest.fixture
def stored(tmp_path) -> Path:
    """A file in the storage, as `command` has it."""
    storage = FileSystemStorage(tmp_path / "files")
    return Path(storage.path(storage.save("knowledge/one/document", ContentFile(CONTENT))))


@pytest.fixture
def own_archive(tmp_path, command, workspace, stored) -> Path:
    """A backup of the installation as the test finds it, with a workspace, a secret and a file."""
    Secret.objects.create(workspace=workspace, value="an API key")
    made = command("backup", str(tmp_path / "one.zip"))
    assert made.returncode == 0, made.stderr.decode()
    return tmp_path / "one.zip"


@pytest.fixture(scope="module")
def kept_archive(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("backups") / "one.zip"


@pytest.fixture
def archive(request, tmp_path, kept_archive) -> Path:
    """A backup of such an installation that is no longer there: made by the first who asks, a copy for each test."""
    if not kept_archive.exists():
        shutil.copy(request.getfixturevalue("own_archive"), kept_archive)
    return Path(shutil.copy(kept_archive, tmp_path / "one.zip"))


@pytest.fixture
def index_of_vectors(workspace, monkeypatch) -> Iterator[None]:
    """The index of a large base is there, as the platform makes it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_available_extensions WHERE name = 'vector'")
        if not cursor.fetchall():
            pytest.skip("this server has no pgvector")
    base, space = KnowledgeBaseFactory(workspace=workspace), uuid.uuid4()
    chunk = DocumentFactory(knowledge_base=base).chunks.get()
    vectors.require_extension("embedding_model")
    vectors.store(base.pk, space, [(chunk.pk, [0.6, 0.8])])
    monkeypatch.setattr(vectors, "INDEXED_FROM", 1)
    assert vectors.ensure_index(base.pk, space)
    yield
    vectors.drop_index(base.pk)


@pytest.fixture
def role(transactional_db) -> Iterator[str]:
    """A role that is no superuser, for a moment."""
    name = f"restores_{uuid.uuid4().hex[:12]}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name}")
    yield name
    with connection.cursor() as cursor:
        cursor.execute(f"DROP ROLE {name}")


def rows_of(url: str) -> dict[str, list[str]]:
    """All rows of all tables, as text."""
    with psycopg.connect(url) as database:
        names = database.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        return {
            name: sorted(row for (row,) in database.execute(f'SELECT one::text FROM "{name}" one').fetchall())
            for (name,) in names
        }


def indexes_of_vectors(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as database:
        return database.execute("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'").fetchall()


# What comes back


async def test_gives_back_the_same_data_while_runs_go_on(
    tmp_path, command, empty_database, agent_on, alice, worker, stored
):
    quick, slow = [await in_thread(agent_on, name) for name in ("text-20", "slow-100-100")]
    ended = [await finished(await start(alice, quick)) for _ in range(3)]
    await in_thread(seal_next, LEDGER)
    under_way = await start(alice, slow)
    await until(under_way, lambda run: run.last_seq > 5)

    made = await in_thread(command, "backup", str(tmp_path / "one.zip"))
    assert made.returncode == 0, made.stderr.decode()
    stored.unlink()
    back = await in_thread(command, "restore", str(tmp_path / "one.zip"), DATABASE_URL=empty_database)
    told = back.stdout.decode()

    assert back.returncode == 0, told + back.stderr.decode()
    assert [line for line in told.splitlines() if line.startswith("WRONG")] == []
    assert ("Right: verify_ledger" in told, "Right: reconcile" in told) == (True, True)
    before, after = await in_thread(rows_of, database_url()), await in_thread(rows_of, empty_database)
    for name in (
        "billing_ledgerseal",
        "accounts_user",
        "accounts_membership",
        "agents_agent",
        "agents_version",
    ):
        assert after[name] == before[name]
    # The run that was under way has gone on meanwhile; what was written once is as it was.
    assert set(after["billing_usagerecord"]) <= set(before["billing_usagerecord"])
    assert len(after["billing_ledgerseal"]) == 2 * len(ended)
    runs = {row.split(",")[0].strip("(") for row in after["runs_run"]}
    assert runs == {str(run.pk) for run in [*ended, under_way]}
    assert stored.read_bytes() == CONTENT


def test_gives_back_every_row_of_an_installation_at_rest(own_archive, command, empty_database):
    before = rows_of(database_url())
    assert command("restore", str(own_archive), DATABASE_URL=empty_database).returncode == 0
    after = rows_of(empty_database)
    # Each of the two commands tells the audit log of itself.
    for rows in (before, after):
        for name in [name for name in rows if "audit" in name]:
            del rows[name]

    assert after == before


def test_gives_back_the_index_of_vectors_to_a_database_without_their_extension(
    tmp_path, command, index_of_vectors, empty_database
):
    assert command("backup", str(tmp_path / "one.zip")).returncode == 0
    back = command("restore", str(tmp_path / "one.zip"), DATABASE_URL=empty_database)

    assert back.returncode == 0, back.stderr.decode()
    before, after = indexes_of_vectors(database_url()), indexes_of_vectors(empty_database)
    assert (len(before), after) == (1, before)


def test_makes_the_database_where_it_is_missing(archive, command, empty_database):
    name = urlsplit(empty_database).path[1:]
    postgres = urlsplit(empty_database)._replace(path="/postgres").geturl()
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))

    assert command("restore", str(archive), DATABASE_URL=empty_database).returncode == 0


# What is in the file


def test_goes_through_a_pipe(tmp_path, command, workspace):
    made = command("backup", "-")
    (tmp_path / "piped.zip").write_bytes(made.stdout)

    assert command("restore", "--verify-only", str(tmp_path / "piped.zip")).returncode == 0


def test_has_no_key_in_it_unless_it_was_asked_for(tmp_path, own_archive, command):
    with_keys = command("backup", "--with-keys", str(tmp_path / "keys.zip"))

    assert "secrets.json" not in zipfile.ZipFile(own_archive).namelist()
    assert os.environ["FIELD_ENCRYPTION_KEYS"].encode() not in own_archive.read_bytes()
    assert (
        json.loads(zipfile.ZipFile(tmp_path / "keys.zip").read("secrets.json"))["SECRET_KEY"]
        == os.environ["SECRET_KEY"]
    )
    assert b"can read all its secrets" in with_keys.stderr


def test_is_readable_for_its_owner_only(own_archive):
    assert own_archive.stat().st_mode & 0o777 == 0o600


def test_replaces_no_file(archive, command):
    before = archive.read_bytes()
    again = command("backup", str(archive))

    assert (again.returncode, b"exists already" in again.stderr, archive.read_bytes() == before) == (
        1,
        True,
        True,
    )


def test_leaves_nothing_that_looks_whole_when_it_is_broken_off(tmp_path, workspace):
    """It is stopped while pg_dump waits for a table that somebody has locked."""
    folder = tmp_path / "backups"
    folder.mkdir()
    with psycopg.connect(database_url()) as other:
        other.execute("LOCK TABLE accounts_workspace")
        environment = {**os.environ, "DATABASE_URL": database_url()}
        backup = subprocess.Popen(
            [sys.executable, "manage.py", "backup", str(folder / "one.zip")],
            cwd=PROJECT,
            env=environment,
            stderr=subprocess.PIPE,
        )
        while not list(folder.iterdir()):
            assert backup.poll() is None
        backup.send_signal(signal.SIGTERM)
        backup.communicate(timeout=30)

    assert (backup.returncode, list(folder.iterdir())) == (143, [])


# What is refused


def test_refuses_what_was_broken_off(tmp_path, archive, command, empty_database):
    half = tmp_path / "half.zip"
    half.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    refused = command("restore", str(half), DATABASE_URL=empty_database)

    assert (refused.returncode, b"is not a whole backup" in refused.stderr) == (1, True)


def test_refuses_what_was_changed(tmp_path, archive, command, empty_database):
    content = archive.read_bytes()
    place = content.index(CONTENT[:100]) + 10
    changed = tmp_path / "changed.zip"
    changed.write_bytes(content[:place] + b"X" + content[place + 1 :])
    refused = command("restore", str(changed), DATABASE_URL=empty_database)

    assert (refused.returncode, b"The backup is damaged: files/knowledge/one/document" in refused.stderr) == (
        1,
        True,
    )
    assert rows_of(empty_database) == {}


def rewritten(archive: Path, target: Path, **changes: object) -> Path:
    """The same backup with another manifest."""
    with zipfile.ZipFile(archive) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "manifest.json":
                content = json.dumps(json.loads(content) | changes).encode()
            after.writestr(name, content)
    return target


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 2}, b"has format 2"),
        ({"postgresql": "99.1"}, b"The backup is of PostgreSQL 99"),
        ({"migrations": ["runs.9999_tomorrow"]}, b"made by a newer version"),
    ],
)
def test_refuses_what_it_cannot_bring_back(tmp_path, archive, command, empty_database, changes, told):
    other = rewritten(archive, tmp_path / "other.zip", **changes)
    refused = command("restore", str(other), DATABASE_URL=empty_database)

    assert (refused.returncode, told in refused.stderr, rows_of(empty_database)) == (1, True, {})


def test_leaves_the_database_empty_where_not_all_rows_have_come(tmp_path, archive, command, empty_database):
    rows = json.loads(zipfile.ZipFile(archive).read("manifest.json"))["rows"]
    other = rewritten(archive, tmp_path / "other.zip", rows=rows | {"accounts_user": 7})
    refused = command("restore", str(other), DATABASE_URL=empty_database)

    assert (refused.returncode, b"accounts_user has" in refused.stderr) == (1, True)
    assert rows_of(empty_database) == {}


def test_leaves_a_database_alone_that_is_not_empty(archive, command, workspace):
    refused = command("restore", str(archive))

    assert (refused.returncode, b"say --replace" in refused.stderr) == (1, True)


def test_replaces_no_database_that_others_use(archive, command):
    # The connection of this very test is the other one.
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        refused = command("restore", "--replace", str(archive))

    assert (refused.returncode, b"other connections use the database" in refused.stderr) == (1, True)


def test_replaces_no_database_that_another_role_uses(archive, command, role):
    """Who is no superuser sees of the sessions of others no more than that they are there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        refused = command("restore", "--replace", str(archive), PGOPTIONS=f"-c role={role}")

    assert (refused.returncode, b"other connections use the database" in refused.stderr) == (1, True)


def test_replaces_what_is_there_where_it_is_told_to(archive, command, empty_database):
    assert command("restore", str(archive), DATABASE_URL=empty_database).returncode == 0
    with psycopg.connect(empty_database, autocommit=True) as database:
        database.execute(
            "CREATE TABLE of_a_later_version (id int); UPDATE accounts_workspace SET slug = 'changed'"
        )
    again = command("restore", "--replace", str(archive), DATABASE_URL=empty_database)
    rows = rows_of(empty_database)

    assert again.returncode == 0, again.stderr.decode()
    assert ("of_a_later_version" in rows, "acme" in rows["accounts_workspace"][0]) == (False, True)


# What is proven


def test_says_when_the_keys_are_others(archive, command, empty_database):
    other = "b3RoZXItb25seS1mb3ItdGVzdHMtb25seS1mb3ItdDE="
    told = command("restore", str(archive), DATABASE_URL=empty_database, FIELD_ENCRYPTION_KEYS=other)

    assert (told.returncode, b"WRONG: No key of FIELD_ENCRYPTION_KEYS opens 1" in told.stdout) == (1, True)


# PostgreSQL's programs


def test_says_which_programs_are_missing():
    with pytest.raises(BackupError, match="Install PostgreSQL's client programs of version 99 or newer"):
        programs.programs_for(99)


def test_takes_the_oldest_programs_that_are_new_enough(monkeypatch):
    found = [programs.Programs(Path(f"/{major}"), major, f"{major}.1") for major in (18, 15, 16)]
    monkeypatch.setattr(programs, "_all_found", lambda: found)

    assert [programs.programs_for(major).major for major in (14, 15, 16, 17)] == [15, 15, 16, 18]


def test_shows_no_password_on_the_command_line(monkeypatch):
    parameters = {"host": "db", "user": "platform", "password": "of the database", "dbname": "one"}
    monkeypatch.setattr(connection, "get_connection_params", lambda: parameters)

    assert "of the database" not in programs.address()
    assert programs.environment()["PGPASSWORD"] == "of the database"
