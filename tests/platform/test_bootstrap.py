"""The environment of a local platform, and the refusal to invent one for production."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agentplatform.bootstrap import prepare_environment

PROJECT = Path(__file__).resolve().parent.parent.parent
RUN = ["manage.py", "run_platform"]
SECRETS = ("SECRET_KEY", "JWT_SECRET_KEY", "FIELD_ENCRYPTION_KEYS")


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new data folder, and an environment that says nothing else."""
    for name in (*SECRETS, "DATABASE_URL", "DEBUG", "ENVIRONMENT", "AGENTPLATFORM_EMBEDDED_WORKER"):
        # Set first, so that what a test leaves there is undone too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("AGENTPLATFORM_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setattr("agentplatform.bootstrap.PROJECT", tmp_path)
    return tmp_path / "var"


def test_generates_the_secrets_of_a_first_run(data_dir: Path) -> None:
    prepare_environment(RUN)
    assert all(os.environ[name] for name in SECRETS)


def test_keeps_the_secrets_for_the_next_run(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_environment(RUN)
    first = {name: os.environ.pop(name) for name in SECRETS}
    prepare_environment(RUN)
    assert {name: os.environ[name] for name in SECRETS} == first


def test_keeps_the_secrets_from_others(data_dir: Path) -> None:
    prepare_environment(RUN)
    assert stat.S_IMODE((data_dir / "secrets.json").stat().st_mode) == 0o600


def test_lets_other_commands_use_them(data_dir: Path) -> None:
    prepare_environment(RUN)
    del os.environ["SECRET_KEY"]
    prepare_environment(["manage.py", "shell"])
    assert os.environ["SECRET_KEY"] == json.loads((data_dir / "secrets.json").read_text())["SECRET_KEY"]


def test_prefers_what_the_environment_says(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "mine")
    prepare_environment(RUN)
    assert os.environ["SECRET_KEY"] == "mine"


@pytest.mark.parametrize(
    ("name", "value"), [("DATABASE_URL", "postgresql://db.example.com/agents"), ("DEBUG", "false")]
)
def test_generates_nothing_for_production(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    prepare_environment(RUN)
    assert (data_dir.exists(), "SECRET_KEY" in os.environ) == (False, False)


def test_generates_nothing_for_other_commands(data_dir: Path) -> None:
    prepare_environment(["manage.py", "check"])
    assert not data_dir.exists()


def test_reads_the_env_file_of_the_project(data_dir: Path) -> None:
    (data_dir.parent / ".env").write_text("SECRET_KEY=from-the-file\n")
    prepare_environment(RUN)
    assert os.environ["SECRET_KEY"] == "from-the-file"


def test_reads_the_file_that_init_db_names(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "from-the-environment")
    named = data_dir.parent / "other.env"
    named.write_text("SECRET_KEY=from-the-file\n")
    prepare_environment(["manage.py", "init_db", "--env", str(named)])
    assert os.environ["SECRET_KEY"] == "from-the-file"


def test_ends_when_that_file_is_missing(data_dir: Path) -> None:
    with pytest.raises(SystemExit, match="no such file"):
        prepare_environment(["manage.py", "init_db", "--env=/nowhere/.env"])


@pytest.mark.parametrize("command", [["manage.py", "check"], ["-c", "import agentplatform.asgi"]])
def test_refuses_to_start_in_production_without_a_secret_key(tmp_path: Path, command: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"], "AGENTPLATFORM_DATA_DIR": str(tmp_path / "var")}
    refused = subprocess.run(
        [sys.executable, *command], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    assert (refused.returncode, "SECRET_KEY is not set" in refused.stderr) == (1, True)
