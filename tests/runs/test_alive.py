"""`python -m runs.alive`: the health check of a worker's container."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

from runs.alive import LOST_AFTER_SECONDS, problem_of, show_alive
from tests.processes import PROJECT


async def test_is_alive_while_its_loop_turns(tmp_path):
    shown = asyncio.create_task(show_alive(tmp_path / "alive"))
    await asyncio.sleep(0)
    assert problem_of(tmp_path / "alive") == ""
    shown.cancel()
    await asyncio.gather(shown, return_exceptions=True)

    assert "has ended" in problem_of(tmp_path / "alive")


def test_is_dead_when_its_loop_stands_still(tmp_path):
    (tmp_path / "alive").touch()
    before = time.time() - LOST_AFTER_SECONDS - 1
    os.utime(tmp_path / "alive", (before, before))

    assert "has stood still" in problem_of(tmp_path / "alive")


def test_says_so_by_its_status(tmp_path):
    def status() -> int:
        environment = {**os.environ, "WORKER_ALIVE_FILE": str(tmp_path / "alive")}
        return subprocess.run(
            [sys.executable, "-m", "runs.alive"], cwd=PROJECT, env=environment, capture_output=True
        ).returncode

    before = status()
    (tmp_path / "alive").touch()

    assert (before, status()) == (1, 0)
