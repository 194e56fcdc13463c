"""The system account that the embedded PostgreSQL runs as.

PostgreSQL refuses to run as root. Root therefore runs it as an unprivileged account, which must be able to
enter every parent folder of what it uses.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentplatform.embedded.errors import EmbeddedDatabaseError

SEARCH = EXECUTE = stat.S_IXUSR
READ = stat.S_IRUSR
PREFERRED_NAMES = ("postgres", "agentplatform")


@dataclass(frozen=True)
class Account:
    """A system account."""

    name: str
    uid: int
    gid: int

    @property
    def identity(self) -> dict[str, Any]:
        """Arguments for `subprocess` that make the child this account; none when the caller is it already."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may(self, permission: int, path: Path) -> bool:
        """Whether the mode of `path` grants `permission` (`SEARCH`, `EXECUTE` or `READ`) to this account."""
        status = path.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & permission)
        if status.st_gid == self.gid:
            return bool(status.st_mode & permission >> 3)
        return bool(status.st_mode & permission >> 6)

    def reaches(self, folder: Path) -> bool:
        """Whether this account may enter `folder` through all its parents, as far as they exist."""
        return all(self.may(SEARCH, place) for place in (folder, *folder.parents) if place.is_dir())


# Stands for the account that has yet to be created: it owns nothing.
STRANGER = Account("agentplatform", -1, -1)


def existing_account(data: Path) -> Account | None:
    """The account for the cluster in `data`, if the system has it.

    That is the caller's own; for root the one that owns the cluster already, then the first of
    `PREFERRED_NAMES`.
    """
    if os.geteuid() != 0:
        return _own_account()
    if data.exists() and (owner := data.stat().st_uid) and (account := _account_by_id(owner)):
        return account
    return next((account for name in PREFERRED_NAMES if (account := _account_named(name))), None)


def create_account() -> Account:
    """An account for root where none of `PREFERRED_NAMES` exists: a new one if possible, else `nobody`."""
    name = PREFERRED_NAMES[-1]
    if useradd := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin"):
        options = [
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/bin/false",
        ]
        subprocess.run([useradd, *options, name], check=False, capture_output=True)
    if account := _account_named(name) or _account_named("nobody"):
        return account
    raise EmbeddedDatabaseError(
        "PostgreSQL cannot run as root, and there is no account for it."
        " Create one (useradd --system postgres), or set DATABASE_URL to a PostgreSQL server of your own."
    )


def _own_account() -> Account:
    if account := _account_by_id(os.geteuid()):
        return account
    raise EmbeddedDatabaseError(
        f"User id {os.geteuid()} has no entry in /etc/passwd, which PostgreSQL needs."
        " Add one, or set DATABASE_URL to a PostgreSQL server of your own."
    )


def _account_by_id(uid: int) -> Account | None:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _account_named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
