"""The embedded database: started by its first user, stopped by its last, and none the worse for a crash."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from agentplatform.database import EmbeddedDatabase, EmbeddedDatabaseError, embedded_url, use_embedded
from tests.platform.embedded import User, answers, ask, open_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data folder whose server was started once, and is started again in a tenth of the time."""
    with open_folder() as folder:
        with use_embedded(folder):
            pass
        yield folder


@pytest.fixture(scope="module")
def used() -> Iterator[EmbeddedDatabase]:
    """A server that other tests only look at, or kill and start again."""
    with open_folder() as folder, EmbeddedDatabase(folder / "var") as database:
        yield database


def server_process(database: EmbeddedDatabase) -> psutil.Process:
    return psutil.Process(int((database.home.data / "postmaster.pid").read_text().split()[0]))


def kill_server(database: EmbeddedDatabase) -> None:
    process = server_process(database)
    process.kill()
    process.wait(10)


def test_says_its_url_without_starting_or_writing_anything(folder: Path) -> None:
    embedded_url(folder / "var")
    assert list(folder.iterdir()) == []


def test_says_the_same_url_before_and_after_its_start(folder: Path) -> None:
    before = embedded_url(folder / "var")
    with use_embedded(folder / "var") as url:
        assert {before, embedded_url(folder / "var")} == {url}


def test_makes_the_applications_database(used: EmbeddedDatabase) -> None:
    assert ask(used.url, "SELECT current_database()") == "agentplatform"


def test_writes_to_the_disk_before_it_confirms(used: EmbeddedDatabase) -> None:
    assert [ask(used.url, f"SHOW {name}") for name in ("fsync", "synchronous_commit")] == ["on", "on"]


def test_listens_on_no_network_address(used: EmbeddedDatabase) -> None:
    assert server_process(used).net_connections(kind="inet") == []


def test_lets_nobody_in_as_another_role(used: EmbeddedDatabase) -> None:
    with psycopg.connect(used.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE charlie LOGIN")
    with pytest.raises(psycopg.OperationalError, match="pg_hba"):
        psycopg.connect(used.url.replace("agentplatform@", "charlie@"))


def test_knows_the_letters_of_all_languages(used: EmbeddedDatabase) -> None:
    assert ask(used.url, "SELECT lower('ÄÉЖ')") == "äéж"


def test_has_the_vector_extension(used: EmbeddedDatabase) -> None:
    assert ask(used.url, "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'") == 1


def test_keeps_its_data(made: Path) -> None:
    with use_embedded(made) as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'yes' AS word")
    with use_embedded(made) as url:
        assert ask(url, "SELECT word FROM kept") == "yes"


def test_stops_with_its_only_user(made: Path) -> None:
    with use_embedded(made) as url:
        pass
    assert not answers(url)


def test_stays_as_long_as_somebody_uses_it(made: Path) -> None:
    alice = User(made)
    alice.url()
    with use_embedded(made) as url:
        pass
    assert answers(url)
    alice.leave()
    assert not answers(url)


def test_is_made_once_when_two_start_it_at_the_same_moment(folder: Path) -> None:
    users = [User(folder) for _ in range(3)]
    urls = [user.url() for user in users]
    started = (folder / "database" / "server.log").read_text().count("starting PostgreSQL")
    codes = [user.leave() for user in users]
    assert (len(set(urls)), started, codes) == (1, 1, [0, 0, 0])


def test_survives_ctrl_c_until_its_user_has_stopped_it(made: Path) -> None:
    log = made / "database" / "server.log"
    before = log.read_text()
    alice = User(made)
    url = alice.url()
    code = alice.interrupt()
    stops = log.read_text().removeprefix(before).count("database system is shut down")
    assert (code, answers(url), stops) == (130, False, 1)


def test_outlives_a_killed_user_and_is_taken_over_by_the_next(made: Path) -> None:
    alice = User(made)
    url = alice.url()
    alice.die()
    assert answers(url)
    with use_embedded(made):
        pass
    assert not answers(url)


def test_recovers_what_was_confirmed_before_it_was_killed(used: EmbeddedDatabase) -> None:
    with psycopg.connect(used.url) as connection:
        connection.execute("CREATE TABLE confirmed AS SELECT 'yes' AS word")
    kill_server(used)
    used.start()
    assert ask(used.url, "SELECT word FROM confirmed") == "yes"


def test_does_not_take_a_foreign_process_for_the_server_that_had_its_number(used: EmbeddedDatabase) -> None:
    kill_server(used)
    stranger = subprocess.Popen(["sleep", "60"], **used.home.account.identity)
    try:
        for file in (used.home.data / "postmaster.pid", used.home.socket / ".s.PGSQL.5432.lock"):
            file.write_text(f"{stranger.pid}\n" + file.read_text().split("\n", 1)[1])
        used.start()
        assert (answers(used.url), stranger.poll()) == (True, None)
    finally:
        stranger.kill()
        stranger.wait()


def test_starts_over_after_an_interrupted_first_start(folder: Path) -> None:
    half_made = folder / "database" / "data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    with use_embedded(folder) as url:
        assert answers(url)


def test_refuses_the_data_of_another_version(folder: Path) -> None:
    data = folder / "database" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedDatabaseError, match="was made by PostgreSQL 12"):
        EmbeddedDatabase(folder).start()


def test_shows_the_end_of_the_log_when_it_cannot_start(made: Path) -> None:
    database = EmbeddedDatabase(made)
    with (database.home.data / "postgresql.auto.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedDatabaseError, match="no_such_setting"):
        database.start()
