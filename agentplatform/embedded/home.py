"""The folders of an embedded PostgreSQL server.

A data folder has one *home*: `<data_dir>/database`.

    home/          ours; the server's account may only pass through
        start.lock    held while the server is started or stopped
        lease.lock    held, shared, by every process that uses the server
        hba.conf, ident.conf    who may connect
        server.log
        data/      the server's, 0700: the cluster
        socket/    the server's, 0700: the only way in; in /tmp where this path would be too long

Under root the server's account has to reach the home. Where it cannot (below a 0700 home directory), the
permissions of folders that are not ours stay as they are: the home is made below `SYSTEM_FOLDER`, and
`<data_dir>/database` is a symbolic link to it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from agentplatform.embedded.account import STRANGER, Account, create_account, existing_account
from agentplatform.embedded.errors import EmbeddedDatabaseError

SYSTEM_FOLDER = Path("/var/lib/agentplatform")
# Not tempfile.gettempdir(): all processes must find the same folder, whatever their TMPDIR says.
SHORT_FOLDER = Path("/tmp")  # noqa: S108 - holds only a folder whose owner and mode are verified
SOCKET_NAME = ".s.PGSQL.5432"
# The address of a unix socket holds 104 (macOS) to 108 (Linux) bytes, the file's name and a final NUL
# included.
LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True)
class Home:
    """Where one embedded server lives, and as whom it runs."""

    folder: Path
    account: Account

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def socket(self) -> Path:
        inside = self.folder / "socket"
        if len(os.fsencode(inside / SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
            return inside
        return SHORT_FOLDER / f"agentplatform-{_fingerprint(self.folder)}"


def find_home(data_dir: Path) -> Home:
    """The home that `data_dir` has, or will get. Nothing is written."""
    entrance = data_dir.absolute() / "database"
    account = existing_account(entrance / "data") or STRANGER
    if entrance.exists():
        return Home(entrance.resolve(), account)
    if account.reaches(entrance.parent):
        return Home(entrance.parent.resolve() / entrance.name, account)
    return Home(next(_free_places(entrance.parent)).resolve(), account)


def prepare_home(data_dir: Path) -> Home:
    """The home of `data_dir`, with its folders made, owned and checked.

    Raises EmbeddedDatabaseError when it belongs to somebody else or the server's account cannot reach it.
    """
    create_data_dir(data_dir)
    entrance = data_dir.absolute() / "database"
    account = existing_account(entrance / "data") or create_account()
    if not entrance.exists():
        _make_entrance(entrance, account)
    home = Home(entrance.resolve(), account)
    _refuse_foreign(home.folder)
    home.folder.chmod(_passable())
    _refuse_unreachable(home)
    _hand_over(home.data, account)
    make_socket_folder(home)
    return home


def create_data_dir(data_dir: Path) -> None:
    """Make the operator's data folder if it is missing; one that exists keeps its permissions."""
    try:
        data_dir.mkdir(parents=True)
    except FileExistsError:
        return
    data_dir.chmod(_passable())


def make_socket_folder(home: Home) -> None:
    """Make the socket's folder. In /tmp somebody else may have taken its name: that one is never used."""
    folder = home.socket
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0 and folder.lstat().st_uid == 0:
        os.chown(folder, home.account.uid, home.account.gid, follow_symlinks=False)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != home.account.uid or status.st_mode & 0o077:
        raise EmbeddedDatabaseError(
            f"{folder} must be a folder of {home.account.name} with mode 0700. Remove it."
        )


def remove_socket_folder(home: Home) -> None:
    """Leave nothing in /tmp; a folder inside the home stays."""
    if home.socket.parent != home.folder:
        with suppress(OSError):  # not empty: somebody's business, not ours
            home.socket.rmdir()


def make_system_folder() -> Path:
    """`SYSTEM_FOLDER`, made if it is missing."""
    try:
        SYSTEM_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedDatabaseError(
            f"{SYSTEM_FOLDER} cannot be created ({error.strerror}). Set AGENTPLATFORM_DATA_DIR to a folder"
            " that every user may enter, or DATABASE_URL to a PostgreSQL server of your own."
        ) from error
    return SYSTEM_FOLDER


def _passable() -> int:
    """The mode of our folders: private, but root lets the server's account pass through to what it owns."""
    return 0o711 if os.geteuid() == 0 else 0o700


def _fingerprint(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _free_places(data_dir: Path) -> Iterator[Path]:
    """Folders for `data_dir` below `SYSTEM_FOLDER`; one whose link was deleted is never taken up again."""
    name = _fingerprint(data_dir.resolve())
    candidates = (SYSTEM_FOLDER / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return (place for place in candidates if not place.exists())


def _make_entrance(entrance: Path, account: Account) -> None:
    """Two processes may do this at once: one is first, and the other uses what it made."""
    if account.reaches(entrance.parent):
        entrance.mkdir(exist_ok=True)
        return
    place = _take_place(entrance.parent)
    try:
        entrance.symlink_to(place, target_is_directory=True)
    except FileExistsError:
        place.rmdir()
        return
    print(
        f"{account.name}, as whom the database runs for root, cannot reach {entrance.parent}:"
        f" the database is in {place}, and {entrance} is a link to it.",
        file=sys.stderr,
    )


def _take_place(data_dir: Path) -> Path:
    make_system_folder()
    while True:
        place = next(_free_places(data_dir))
        try:
            place.mkdir()
        except FileExistsError:  # another process took it in this moment
            continue
        return place


def _refuse_foreign(folder: Path) -> None:
    if (owner := folder.stat().st_uid) != os.geteuid():
        raise EmbeddedDatabaseError(
            f"{folder} belongs to user id {owner}."
            " Run as that user, or set AGENTPLATFORM_DATA_DIR to another folder."
        )


def _refuse_unreachable(home: Home) -> None:
    if not home.account.reaches(home.folder):
        raise EmbeddedDatabaseError(
            f"{home.account.name}, as whom the database runs, can no longer reach {home.folder}."
            " Let others pass through its parent folders again (chmod o+x)."
        )


def _hand_over(data: Path, account: Account) -> None:
    """Give a cluster whose account is gone from the system to the present one."""
    if not data.exists() or data.stat().st_uid == account.uid or os.geteuid() != 0:
        return
    for place, _, names in os.walk(data):
        for path in (Path(place), *(Path(place, name) for name in names)):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
