"""What has to be there before Django reads its settings, when the platform runs on one's own machine.

Without DATABASE_URL a command uses the embedded database, and the secrets that `run_platform` generated once
into `secrets.json` in the data folder. With DATABASE_URL, or with DEBUG explicitly off, nothing is invented
here: the settings then refuse to start without a SECRET_KEY.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import django
import environ
from django.conf import settings

from agentplatform.database import use_embedded
from agentplatform.embedded.home import create_data_dir
from agentplatform.lib.files import create_private
from agentplatform.lib.process import without_collecting

PROJECT = Path(__file__).resolve().parent.parent
RUN_COMMAND = "run_platform"
# `make run` is one process, which works the queue too.
RUN_DEFAULTS = {"ENVIRONMENT": "local", "AGENTPLATFORM_EMBEDDED_WORKER": "true"}


def prepare_environment(arguments: Sequence[str]) -> None:
    """Complete `os.environ` for the management command in `arguments` (as in `sys.argv`)."""
    _read_env_files(arguments)
    os.environ.setdefault("AGENTPLATFORM_DATA_DIR", str(PROJECT / "var"))
    runs = list(arguments[1:2]) == [RUN_COMMAND]
    if runs:
        for name, value in RUN_DEFAULTS.items():
            os.environ.setdefault(name, value)
    if _is_local():
        _take_secrets(Path(os.environ["AGENTPLATFORM_DATA_DIR"]).absolute(), create=runs)


@contextmanager
def database() -> Iterator[None]:
    """Keep the embedded database running, and its address in DATABASE_URL, unless another one is set.

    Reads the settings first, so that a platform that must not start does not start its database either.
    """
    data_dir: Path = settings.DATA_DIR
    if os.environ.get("DATABASE_URL"):
        with without_collecting():
            django.setup()
        yield
        return
    signal.signal(signal.SIGTERM, _leave)
    with ExitStack() as leases:
        # Django needs about as long to import what it is made of.
        with ThreadPoolExecutor(max_workers=1) as pool:
            starting = pool.submit(leases.enter_context, use_embedded(data_dir))
            with without_collecting():
                django.setup()
            os.environ["DATABASE_URL"] = starting.result()
        try:
            yield
        finally:
            # Whoever asks again while the database stops must not keep it from that.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)


def _read_env_files(arguments: Sequence[str]) -> None:
    """Read `.env`, after the file that `init_db --env FILE` names, whose values go over the environment's."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--env", type=Path)
    if "init_db" in arguments[1:2] and (named := parser.parse_known_args(arguments[2:])[0].env):
        if not named.is_file():
            sys.exit(f"--env {named}: there is no such file.")
        environ.Env.read_env(named, overwrite=True)
    if (PROJECT / ".env").is_file():
        environ.Env.read_env(PROJECT / ".env")


def _is_local() -> bool:
    debug_is_off = bool(os.environ.get("DEBUG")) and not environ.Env().bool("DEBUG")
    return not os.environ.get("DATABASE_URL") and not debug_is_off


def _take_secrets(data_dir: Path, *, create: bool) -> None:
    """Fill what the environment leaves open from `secrets.json`; `create` makes it where it is missing."""
    path = data_dir / "secrets.json"
    if create and not path.exists():
        create_data_dir(data_dir)
        create_private(path, json.dumps(_new_secrets(), indent=2) + "\n")
    if path.exists():
        for name, value in json.loads(path.read_text()).items():
            os.environ[name] = os.environ.get(name) or value


def _new_secrets() -> dict[str, str]:
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "JWT_SECRET_KEY": secrets.token_urlsafe(50),
        "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
