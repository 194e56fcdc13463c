"""`make run`, as a process of its own: from nothing to a healthy platform, and back without a trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform.embedded import open_folder

PROJECT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.slow
# Generous, for machines that are busy with the rest of the suite.
START_SECONDS = 60
UNSET = ("DATABASE_URL", "SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "DEBUG", "ENVIRONMENT", "REDIS_URL")


class Platform:
    """A running platform in `data_dir`."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        environment = {name: value for name, value in os.environ.items() if name not in UNSET}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "run_platform"],
            cwd=PROJECT,
            env=environment | {"AGENTPLATFORM_DATA_DIR": str(data_dir), "PORT": str(port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Until it is alive, or failed."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get("/api/v1/health/liveness")
            except OSError:
                time.sleep(0.1)
            else:
                return

    def get(self, path: str) -> dict[str, object]:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return json.load(answer)

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Send a signal as a terminal or a service manager does: exit code, standard output and error."""
        os.killpg(self.process.pid, number)
        output, errors = self.process.communicate(timeout=60)
        return self.process.returncode, output, errors


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def first_run(folder: Path) -> tuple[int, str, str]:
    """What a first run leaves: exit code, standard output and error, ended by Ctrl-C."""
    platform = Platform(folder / "var", free_port())
    platform.wait()
    return platform.end(signal.SIGINT)


def credentials(folder: Path) -> list[dict[str, str]]:
    return json.loads((folder / "var" / "demo-credentials.json").read_text())


def test_ends_without_failure_at_ctrl_c(first_run: tuple[int, str, str]) -> None:
    code, _, errors = first_run
    assert (code, "Traceback" in errors) == (0, False)


def test_says_where_it_runs(first_run: tuple[int, str, str]) -> None:
    assert "runs at http://127.0.0.1:" in first_run[1]


def test_says_how_to_sign_in(first_run: tuple[int, str, str], folder: Path) -> None:
    assert all(one["password"] in first_run[1] for one in credentials(folder))


def test_leaves_no_database_running(first_run: tuple[int, str, str], folder: Path) -> None:
    assert not list((folder / "var" / "database" / "socket").iterdir())


def test_starts_again_with_the_same_users(first_run: tuple[int, str, str], folder: Path) -> None:
    before = credentials(folder)
    platform = Platform(folder / "var", free_port())
    platform.wait()
    body = json.dumps({key: before[0][key] for key in ("username", "password")}).encode()
    request = urllib.request.Request(
        f"{platform.url}/api/v1/auth/login", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    code, output, errors = platform.end(signal.SIGTERM)
    assert (code, before[0]["password"] in output, "Traceback" in errors) == (0, False, False)


def test_refuses_a_port_in_use_in_one_sentence(first_run: tuple[int, str, str], folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        platform = Platform(folder / "var", taken.getsockname()[1])
        output, errors = platform.process.communicate(timeout=START_SECONDS)
    assert (platform.process.returncode, output) == (1, "")
    assert errors.strip().count("\n") == 0
    assert "is in use" in errors
