"""The environment of the tests, made before Django reads its settings. A pytest plugin, see pyproject.toml.

Without DATABASE_URL the suite starts an embedded PostgreSQL of its own in `var/test`, shared by all processes
of pytest-xdist, and stops it in the end. Keys of real model providers never reach a test.
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

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
PROVIDER_KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY")

_leases = ExitStack()

# A suite that runs in the background is told to ignore Ctrl-C, and so would every process that it starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

for name, value in DEFAULTS.items():
    os.environ.setdefault(name, value)
for name in PROVIDER_KEYS:
    os.environ[name] = ""
if not os.environ.get("DATABASE_URL"):
    data_dir = Path(os.environ["AGENTPLATFORM_DATA_DIR"])
    os.environ["DATABASE_URL"] = _leases.enter_context(use_embedded(data_dir))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    _leases.close()
