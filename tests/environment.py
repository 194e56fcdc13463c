"""The environment of the tests, made before Django reads its settings. A pytest plugin, see pyproject.toml.

Without DATABASE_URL the suite starts an embedded PostgreSQL of its own in `var/test`, shared by all processes
of pytest-xdist, and stops it in the end. Keys of real model providers never reach a test.

That server need not survive a power cut.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agentplatform.database import use_embedded

PROJECT = Path(__file__).resolve().parent.parent
DEFAULTS = {
    "SECRET_KEY": "only-for-tests-" * 4,
    "FIELD_ENCRYPTION_KEYS": "b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMDE=",
    "ENVIRONMENT": "test",
    "DEBUG": "false",
    "AGENTPLATFORM_DATA_DIR": str(PROJECT / "var" / "test"),
    "REDIS_URL": "",
}
# What PostgreSQL writes is with the operating system at once, and survives its own death, but not the machine's.
LESS_DURABLE = {"fsync": "off", "full_page_writes": "off"}
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
PROVIDER_KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY")

_leases = ExitStack()


def _write_less_durably(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as server:
        for name, value in LESS_DURABLE.items():
            server.execute(f"ALTER SYSTEM SET {name} = {value}")
        server.execute("SELECT pg_reload_conf()")


# A suite that runs in the background is told to ignore Ctrl-C, and so would every process that it starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Containers often forbid bytecode. The suite starts a hundred processes, and each would compile the platform anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

for name, value in DEFAULTS.items():
    os.environ.setdefault(name, value)
for name in PROVIDER_KEYS:
    os.environ[name] = ""
if not os.environ.get("DATABASE_URL"):
    data_dir = Path(os.environ["AGENTPLATFORM_DATA_DIR"])
    os.environ["DATABASE_URL"] = _leases.enter_context(use_embedded(data_dir))
    _write_less_durably(os.environ["DATABASE_URL"])


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than there are processors: tests wait for the database, processes and browsers for half of their time."""
    return max(2, PROCESSORS * 3 // 2)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """What collecting imports lives as long as the process: nobody need look for garbage in it, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    _leases.close()
