"""What processes cost: processor time and memory, the platform's own apart from PostgreSQL's."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import psutil

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """`cpu` in seconds since the processes began, `memory` in bytes (proportional set size)."""

    cpu: float = 0.0
    database_cpu: float = 0.0
    memory: int = 0
    database_memory: int = 0

    def __sub__(self, earlier: Self) -> Cost:
        return Cost(
            self.cpu - earlier.cpu,
            self.database_cpu - earlier.database_cpu,
            self.memory - earlier.memory,
            self.database_memory - earlier.database_memory,
        )


def tree(roots: Iterable[int]) -> Iterator[psutil.Process]:
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            yield process
            yield from process.children(recursive=True)


def cpu_cost(roots: Iterable[int]) -> Cost:
    """Processor time of these processes and all below them."""
    seconds = {True: 0.0, False: 0.0}
    for process in tree(roots):
        with contextlib.suppress(psutil.NoSuchProcess):
            seconds[is_database(process)] += sum(process.cpu_times()[:4])
    return Cost(cpu=seconds[False], database_cpu=seconds[True])


def memory_cost(roots: Iterable[int]) -> Cost:
    """Memory of these processes and all below them."""
    size = {True: 0, False: 0}
    for process in tree(roots):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            size[is_database(process)] += process.memory_full_info().pss
    return Cost(memory=size[False], database_memory=size[True])


def is_database(process: psutil.Process) -> bool:
    return bool(process.name() == "postgres")


class MemoryPeak:
    """The highest resident memory of the platform's processes within a block, in bytes."""

    def __init__(self, roots: Iterable[int]) -> None:
        self._processes = [process for process in tree(roots) if not is_database(process)]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self.peak = self._now()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self._now())

    def _now(self) -> int:
        total = 0
        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total


def end(process: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    """Asks a process to end, and makes it end when it takes too long."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
