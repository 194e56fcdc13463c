"""What this process measures for Prometheus. `docs/observability.md` lists it.

A label takes few values, whatever people do: names of workspaces, agents, tools and users, and ids, are none. Names of
models are, up to `MOST_MODELS` of them. Measuring takes a few microseconds, and asks nobody.

Where PROMETHEUS_MULTIPROC_DIR is set as this is imported, prometheus-client keeps the numbers in files of that folder,
so that one process can show those of all.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from time import perf_counter
from typing import Any

import orjson
from django.utils import timezone
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

REGISTRY = CollectorRegistry(auto_describe=True)
MOST_MODELS = 50
"""Models with a name of their own in a process; those that come after them share `OTHER`."""
OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds: of what takes milliseconds when all is well."""
LONG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds: of what waits for models and people's endpoints."""
SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500)

# When a number began to be counted says nothing here, and would double the lines.
disable_created_metrics()


def _histogram(
    name: str, text: str, labels: Sequence[str] = (), buckets: Sequence[float] = LONG
) -> Histogram:
    return Histogram(f"agentplatform_{name}", text, labels, buckets=buckets, registry=REGISTRY)


def _counter(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
    return Counter(f"agentplatform_{name}", text, labels, registry=REGISTRY)


def _gauge(name: str, text: str) -> Gauge:
    return Gauge(f"agentplatform_{name}", text, registry=REGISTRY, multiprocess_mode="livesum")


requests = _histogram(
    "http_request_seconds",
    "Time to a request's answer; to a stream's beginning.",
    ["method", "route", "status"],
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
subscribers = _gauge(
    "stream_subscribers", "Followers of runs: streams, sockets, and whoever waits for an end."
)
event_delivery = _histogram(
    "event_delivery_seconds", "From an event's making until it is handed to its followers.", buckets=SHORT
)
events = _counter("events", "Events of runs that were committed.", ["type"])
runs = _histogram("run_seconds", "From the start of a run to its end.", ["status"])
queue_wait = _histogram(
    "run_queue_wait_seconds", "How long a run waited until a worker took it.", buckets=LONG
)
runs_in_hand = _gauge("worker_runs", "Runs in the hands of this worker.")
places = _gauge("worker_places", "Runs that this worker can have in hand at once.")
model_calls = _histogram("model_call_seconds", "Calls of models.", ["provider", "model", "outcome"])
first_tokens = _histogram(
    "model_time_to_first_token_seconds",
    "From a call of a model until the first token of its answer.",
    ["provider", "model"],
)
model_tokens = _counter("model_tokens", "Tokens of calls of models.", ["provider", "model", "direction"])
tool_calls = _histogram("tool_call_seconds", "Calls of tools, by kind of tool.", ["kind", "outcome"])
flushes = _histogram("journal_flush_seconds", "Commits of the journal.", buckets=SHORT)
flush_entries = _histogram("journal_flush_entries", "What one commit of the journal holds.", buckets=SIZES)
journal_retries = _counter("journal_retries", "Flushes that were repeated because the database was away.")


def request_answered(method: str | None, route: str, status: int, seconds: float) -> None:
    """`route` is the template of the URL map, or empty where there is none for the path."""
    known = method if method in METHODS else OTHER
    requests.labels(known, route or "unmatched", f"{status // 100}xx").observe(seconds)


def events_committed(committed: Sequence[Any]) -> None:
    """Counts stored events of one run, and how long the run has taken where they end it."""
    for event in committed:
        kind = str(event.type)
        _events_of(kind).inc()
        if event.is_terminal:
            # A run that was cancelled tells of no duration.
            with suppress(KeyError):
                runs.labels(kind.removeprefix("run_")).observe(
                    orjson.loads(event.data)["metrics"]["duration"]
                )


@cache
def _events_of(kind: str) -> Counter:
    return events.labels(kind)


def delivered(made_at: datetime) -> None:
    """Another machine's clock may be ahead of ours."""
    event_delivery.observe(max(0.0, (timezone.now() - made_at).total_seconds()))


def taken(queued_at: datetime | None, taken_at: datetime | None) -> None:
    """A worker has taken a run."""
    if queued_at and taken_at:
        queue_wait.observe(max(0.0, (taken_at - queued_at).total_seconds()))


class FlushTimer:
    """`with FlushTimer(entries): …` around a commit of the journal."""

    def __init__(self, entries: int) -> None:
        self._entries = entries

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, *_: object) -> None:
        flushes.observe(perf_counter() - self._began)
        flush_entries.observe(self._entries)


def model_answered(
    provider: str, model: str, outcome: str, seconds: float, read: int = 0, written: int = 0
) -> None:
    """A call of a model has ended, however; `read` and `written` are tokens."""
    name = _models.bounded(model)
    model_calls.labels(provider, name, outcome).observe(seconds)
    if read or written:
        model_tokens.labels(provider, name, "input").inc(read)
        model_tokens.labels(provider, name, "output").inc(written)


def model_began(provider: str, model: str, seconds: float) -> None:
    """The first token of an answer came after so many seconds."""
    first_tokens.labels(provider, _models.bounded(model)).observe(seconds)


def tool_answered(kind: str, outcome: str, seconds: float) -> None:
    tool_calls.labels(kind or OTHER, outcome).observe(seconds)


class Names:
    """The first `most` names that come are themselves, all others are `OTHER`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def bounded(self, name: str) -> str:
        # A model that was fine-tuned is called by its owner, too: `ft:gpt-4o:acme::8xyz`.
        name = ":".join(name.split(":", 2)[:2]) if name.startswith("ft:") else name[:80]
        if name in self._known:
            return name
        with self._lock:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name


_models = Names(MOST_MODELS)
