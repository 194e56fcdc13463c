"""Where the embedded database lives: in private, within its account's reach, and at nobody's cost."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from agentplatform.database import EmbeddedDatabase, EmbeddedDatabaseError, embedded_url, use_embedded
from agentplatform.embedded import programs
from agentplatform.embedded.account import Account, existing_account
from tests.platform.embedded import User, answers, open_folder

pytestmark = pytest.mark.slow
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def private_folder(folder: Path) -> Iterator[Path]:
    """A folder below a 0700 one of root; what is made for it in the system's folder is removed afterwards."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    data_dir = home / "project" / "var"
    yield data_dir
    if (data_dir / "database").is_symlink():
        shutil.rmtree((data_dir / "database").resolve())


@pytest.fixture
def unprivileged() -> tuple[Account, tuple[str, ...]]:
    """An account without privileges, and a command that is a Python which it can run with our packages."""
    nobody = pwd.getpwnam("nobody")
    account = Account("nobody", nobody.pw_uid, nobody.pw_gid)
    environment = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        command = ("env", f"PYTHONPATH={environment}", python)
        try:
            subprocess.run(
                [*command, "-c", "import psycopg, psutil"],
                check=True,
                capture_output=True,
                **account.identity,
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return account, command
    pytest.skip("there is no Python here that an account without privileges can run")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keeps_data_and_socket_from_everybody_else(folder: Path) -> None:
    with EmbeddedDatabase(folder / "var") as database:
        assert [mode_of(database.home.data), mode_of(database.home.socket)] == [0o700, 0o700]


def test_leaves_the_permissions_of_a_folder_that_was_there(folder: Path) -> None:
    folder.chmod(0o751)
    with use_embedded(folder):
        assert mode_of(folder) == 0o751


def test_puts_the_socket_into_a_short_folder_when_the_path_is_long(folder: Path) -> None:
    long = folder / ("long-" * 20)
    with use_embedded(long) as url:
        assert answers(url)
    assert "host=/tmp/agentplatform-" in url


def test_leaves_nothing_of_it_when_it_stops(folder: Path) -> None:
    with EmbeddedDatabase(folder / ("gone-" * 20)) as database:
        assert database.home.socket.is_dir()
    assert not database.home.socket.exists()


def test_refuses_a_socket_folder_that_somebody_else_could_enter(folder: Path) -> None:
    long = folder / ("open-" * 20)
    socket = Path(embedded_url(long).split("host=")[1])
    socket.mkdir(mode=0o755)
    try:
        with pytest.raises(EmbeddedDatabaseError, match="must be a folder of"):
            EmbeddedDatabase(long)
    finally:
        socket.rmdir()


def test_replaces_the_server_of_a_data_folder_that_was_deleted(folder: Path) -> None:
    long = folder / ("deleted-" * 20)
    first = EmbeddedDatabase(long)
    first.start()
    with psycopg.connect(first.url) as connection:
        connection.execute("CREATE TABLE lost ()")
    shutil.rmtree(long)
    with use_embedded(long) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('lost')").fetchone() == (None,)


@as_root
def test_does_not_run_as_root(folder: Path) -> None:
    with EmbeddedDatabase(folder) as database:
        assert database.home.data.stat().st_uid == database.home.account.uid != 0


@as_root
def test_refuses_other_accounts_of_the_system(
    folder: Path, unprivileged: tuple[Account, tuple[str, ...]]
) -> None:
    account, command = unprivileged
    with use_embedded(folder) as url:
        attempt = subprocess.run(
            [*command, "-c", f"import psycopg; psycopg.connect({url!r})"],
            capture_output=True,
            text=True,
            **account.identity,
        )
    assert "Permission denied" in attempt.stderr


@as_root
def test_moves_to_the_systems_folder_when_its_account_cannot_reach_the_data_folder(
    private_folder: Path,
) -> None:
    before = embedded_url(private_folder)
    with use_embedded(private_folder) as url:
        assert answers(url)
    assert (before, str((private_folder / "database").readlink())[:22]) == (url, "/var/lib/agentplatform")


@as_root
def test_says_where_it_moved(private_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    EmbeddedDatabase(private_folder)
    assert f"{private_folder / 'database'} is a link to it" in capsys.readouterr().err


@as_root
def test_opens_no_folder_to_reach_its_data(private_folder: Path) -> None:
    with use_embedded(private_folder):
        assert mode_of(private_folder.parent.parent) == 0o700


@as_root
def test_never_takes_up_data_whose_folder_was_deleted(private_folder: Path) -> None:
    old = EmbeddedDatabase(private_folder).home.folder
    shutil.rmtree(private_folder)
    try:
        assert EmbeddedDatabase(private_folder).home.folder != old
    finally:
        shutil.rmtree(old)


@as_root
def test_refuses_data_that_its_account_can_no_longer_reach(folder: Path) -> None:
    EmbeddedDatabase(folder / "project" / "var")
    folder.chmod(0o700)
    with pytest.raises(EmbeddedDatabaseError, match="can no longer reach"):
        EmbeddedDatabase(folder / "project" / "var")


@as_root
def test_copies_programs_that_its_account_cannot_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = existing_account(folder)
    assert account
    private = tmp_path / "site-packages"
    installed = programs.program_folder(account).parent
    shutil.copytree(installed, private / programs.INSTALLATION)
    shutil.copytree(installed.parent.parent / programs.LIBRARIES, private / programs.LIBRARIES)
    monkeypatch.setattr(programs, "_packages_folder", lambda: private)
    monkeypatch.setattr("agentplatform.embedded.home.SYSTEM_FOLDER", folder / "system")
    copy = programs.program_folder(account)
    version = subprocess.run(
        [copy / "postgres", "--version"], capture_output=True, text=True, **account.identity
    )
    assert (copy.is_relative_to(folder / "system"), version.stdout[:24]) == (True, "postgres (PostgreSQL) 18")


@as_root
def test_serves_a_user_without_privileges(
    folder: Path, unprivileged: tuple[Account, tuple[str, ...]]
) -> None:
    account, command = unprivileged
    os.chown(folder, account.uid, account.gid)
    user = User(folder / "var", command, **account.identity)
    url = user.url()
    owner = (folder / "var" / "database" / "data").stat().st_uid
    assert ("agentplatform@" in url, owner, user.leave()) == (True, account.uid, 0)


@as_root
def test_refuses_the_home_of_another_user(
    folder: Path, unprivileged: tuple[Account, tuple[str, ...]]
) -> None:
    account, _ = unprivileged
    EmbeddedDatabase(folder)
    os.chown(folder / "database", account.uid, account.gid)
    with pytest.raises(EmbeddedDatabaseError, match="belongs to user id"):
        EmbeddedDatabase(folder)
