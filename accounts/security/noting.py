"""Security events are noted in memory, and written by a thread a moment later: an attack costs its requests nothing.

What comes again from the same source within a minute is counted. Of a minute at most MOST_SOURCES are kept apart; what
comes from others is counted together for each kind. So neither memory nor table grows with the attack.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from django.utils import timezone

from accounts.security.kinds import Kind
from agentplatform.lib.addresses import network_of

# Of one process in one minute; a row each.
MOST_SOURCES = 30
MOST_OBJECTS = 5
# Lookups that found nothing and are still to be judged: the first ones of each second.
MOST_ABSENT = 50
PERIOD_SECONDS = 1.0

log = structlog.get_logger("agentplatform.security")


class Source(NamedTuple):
    """What is counted together."""

    minute: datetime
    kind: Kind
    address: str
    subject: str


@dataclass(slots=True)
class Noted:
    """How often, since it was last written."""

    first_at: datetime
    last_at: datetime
    request_id: str
    count: int = 0
    objects: list[str] = field(default_factory=list)


class Absent(NamedTuple):
    """A lookup by id that found nothing, which may be there in another workspace."""

    model: Any
    key: Any
    address: str
    subject: str
    request_id: str


class _Notes:
    """What this process has noted and not yet written."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.noted: dict[Source, Noted] = {}
        self.absent: list[Absent] = []
        self.minute: datetime | None = None
        self.sources: set[Source] = set()
        self.write: Callable[[], None] | None = None
        self.writer: threading.Thread | None = None


_notes = _Notes()


def note(kind: Kind, address: str, subject: str = "", thing: str = "", request_id: str = "") -> None:
    """Notes an event. `subject` is `user:<id>` or `key:<id>`, `thing` the type and id of an object."""
    now = timezone.now()
    source = Source(now.replace(second=0, microsecond=0), kind, network_of(address), subject)
    request_id = request_id or str(structlog.contextvars.get_contextvars().get("request_id", ""))
    with _notes.lock:
        source, is_new = _kept_apart(source)
        found = _notes.noted.get(source)
        if found is None:
            found = _notes.noted[source] = Noted(now, now, request_id)
        found.last_at = now
        found.count += 1
        if thing and thing not in found.objects and len(found.objects) < MOST_OBJECTS:
            found.objects.append(thing)
    if is_new:
        log.warning("security_event", kind=str(kind), address=source.address, subject=subject, object=thing)
    _ensure_writer()


def note_absent(model: Any, key: Any, address: str, subject: str) -> None:
    """Notes that an id was not found. Whether it is another workspace's is looked up later, by the writer."""
    request_id = str(structlog.contextvars.get_contextvars().get("request_id", ""))
    with _notes.lock:
        if len(_notes.absent) < MOST_ABSENT:
            _notes.absent.append(Absent(model, key, address, subject, request_id))
    _ensure_writer()


def take_absent() -> list[Absent]:
    """What is to be looked up; it is nobody else's then."""
    with _notes.lock:
        taken, _notes.absent = _notes.absent, []
    return taken


def take() -> dict[Source, Noted]:
    """What is to be written; it is nobody else's then."""
    with _notes.lock:
        taken, _notes.noted = _notes.noted, {}
    return taken


def forget() -> None:
    """Drops all that was noted, and which sources there were."""
    with _notes.lock:
        _notes.noted, _notes.absent, _notes.minute, _notes.sources = {}, [], None, set()


def put_back(taken: dict[Source, Noted]) -> None:
    """What could not be written is kept for the next time, with what has come since."""
    with _notes.lock:
        for source, noted in taken.items():
            later = _notes.noted.get(source)
            if later is not None:
                noted.count += later.count
                noted.last_at = later.last_at
            if later is not None or len(_notes.noted) < 2 * MOST_SOURCES:
                _notes.noted[source] = noted


def write_with(write: Callable[[], None]) -> None:
    """Says how notes get into the database; a thread calls it as long as there are any."""
    _notes.write = write


def _kept_apart(source: Source) -> tuple[Source, bool]:
    """The source, or all others of its kind once there are too many; and whether it is new in this minute."""
    if source.minute != _notes.minute:
        _notes.minute, _notes.sources = source.minute, set()
    if source not in _notes.sources and len(_notes.sources) >= MOST_SOURCES:
        source = source._replace(address="", subject="")
    is_new = source not in _notes.sources
    _notes.sources.add(source)
    return source, is_new


def _ensure_writer() -> None:
    if _notes.write is None or _notes.writer is not None:
        return
    with _notes.lock:
        if _notes.writer is None:
            _notes.writer = threading.Thread(target=_write_on, name="security-events", daemon=True)
            _notes.writer.start()


def _write_on() -> None:
    """Until there is nothing to write for a while."""
    while True:
        time.sleep(PERIOD_SECONDS)
        with _notes.lock:
            if _notes.write is None or not (_notes.noted or _notes.absent):
                # Whoever notes something from now on begins another one.
                _notes.writer = None
                return
        try:
            _notes.write()
        except Exception:
            log.exception("security_events_not_written")
