"""The text of `/metrics`: what this process measures, or all of the machine's."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable

import psutil
from django.conf import settings
from prometheus_client import Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from agentplatform.lib.telemetry.metrics import REGISTRY

ProcessCollector(registry=REGISTRY)


def render(accept: str, *others: Collector) -> tuple[bytes, str]:
    """Text and content type, as the header `Accept` wants it: what was measured, and what `others` tell."""
    encode, content_type = choose_encoder(accept)
    return encode(_Joined([_measured(), *others])), content_type


class _Joined(Collector):
    """Several collectors as one."""

    def __init__(self, parts: list[Collector]) -> None:
        self._parts = parts

    def collect(self) -> Iterable[Metric]:
        for part in self._parts:
            yield from part.collect()


def _measured() -> Collector:
    if folder := settings.PROMETHEUS_MULTIPROC_DIR:
        _bury(folder, psutil.pid_exists)
        return MultiProcessCollector(None, folder)
    return REGISTRY


def _bury(folder: str, lives: Callable[[int], bool]) -> None:
    """What a process that was killed has had in hand counts no longer."""
    for path in glob.glob(os.path.join(folder, "gauge_live*_*.db")):
        pid = int(path.rpartition("_")[2].removesuffix(".db"))
        if not lives(pid):
            mark_process_dead(pid, folder)
