"""Time-ordered identifiers."""

import os
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta


class _Entropy:
    """Random bytes of the system, fetched a page at a time: a system call per id would cost more than the id."""

    PAGE = 4096

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        self._bytes, self._position = b"", 0

    def take(self, count: int) -> bytes:
        with self._lock:
            if self._position + count > len(self._bytes):
                self._bytes, self._position = os.urandom(self.PAGE), 0
            self._position += count
            return self._bytes[self._position - count : self._position]


_entropy = _Entropy()
# A forked process must not hand out its parent's bytes again.
os.register_at_fork(after_in_child=_entropy.forget)


def uuid7() -> uuid.UUID:
    """A version 7 UUID: 48 bits of Unix milliseconds, 12 of the millisecond's fraction, 62 random ones.

    Primary keys made with it grow with time, so inserts touch the right edge of an index only and
    ordering by id is ordering by creation.
    """
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    fraction = (rest << 12) // 1_000_000
    random = int.from_bytes(_entropy.take(8), "big") & ((1 << 62) - 1)
    return uuid.UUID(int=(milliseconds << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | random)


def first_uuid7_at(moment: datetime, *, later: timedelta = timedelta(0)) -> uuid.UUID:
    """The bound below which all ids were made before `moment`: it lets a primary key find a time range.

    Of a moment before 1970 it is the least of all ids. `later` moves a moment that may be the first or last there is.
    """
    milliseconds = int((moment.timestamp() + later.total_seconds()) * 1000)
    return uuid.UUID(int=max(milliseconds, 0) << 80)


def time_of(id_: uuid.UUID) -> datetime:
    """When a version 7 UUID was made, to the millisecond."""
    return datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)


def as_uuid(text: object) -> uuid.UUID | None:
    """The UUID that `text` spells, or None where it spells none (a name, say)."""
    try:
        return uuid.UUID(str(text))
    except ValueError:
        return None
