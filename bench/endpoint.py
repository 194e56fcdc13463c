"""The fake model endpoint in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Self

from bench.platform import PROJECT
from bench.processes import cpu_cost, end


class Endpoint:
    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.model_endpoint"], cwd=PROJECT, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().decode().strip()
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return cpu_cost([self._process.pid]).cpu
