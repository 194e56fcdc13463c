"""The connection of a thread of the engine's own: how it fails, how long it waits for locks, how it is given back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import structlog
from django.db import InterfaceError, OperationalError, connection
from psycopg.errors import DeadlockDetected, LockNotAvailable
from psycopg_pool import PoolTimeout

logger = structlog.get_logger(__name__)

CONNECTION_FAULTS = (OperationalError, InterfaceError, PoolTimeout)


# What somebody else holds must not hold up everything that the thread does.
BOUNDED_WAITS = "SET lock_timeout = '1s'"
# One after another, they would still add up.
SHORT_WAITS = "SET lock_timeout = '50ms'"
# Nor must the thread hold up others when its process is frozen: the database then ends its session, with its locks.
BOUNDED_TRANSACTIONS = "SET idle_in_transaction_session_timeout = '5s'"
BOUNDED_SESSION = "SET idle_session_timeout = '6s'"
RESET = "RESET lock_timeout; RESET idle_in_transaction_session_timeout; RESET idle_session_timeout"


def be_bounded(*, never_idle: bool = False) -> None:
    """Bounds what the thread's connection waits for and holds; `never_idle` says that it is used all the time."""
    bounds = [BOUNDED_WAITS, BOUNDED_TRANSACTIONS, *([BOUNDED_SESSION] if never_idle else [])]
    _set("; ".join(bounds))


def release() -> None:
    """Whoever gets the connection from the pool next has it as it was."""
    _set(RESET)
    connection.close()


def is_held_up(error: Exception) -> bool:
    """Whether somebody else's lock is the reason: the connection is well, and another time will do."""
    return isinstance(error.__cause__, LockNotAvailable | DeadlockDetected)


@contextlib.contextmanager
def waiting_briefly() -> Iterator[None]:
    """For what is done one by one, because together it met somebody else's lock."""
    _set(SHORT_WAITS)
    try:
        yield
    finally:
        _set(BOUNDED_WAITS)


def _set(bounds: str) -> None:
    with contextlib.suppress(*CONNECTION_FAULTS), connection.cursor() as cursor:
        cursor.execute(bounds)


@contextlib.contextmanager
def leaving_what_is_locked() -> Iterator[None]:
    """Gives up what waits too long for somebody else's lock; another time will do."""
    try:
        yield
    except OperationalError as error:
        if not is_held_up(error):
            raise
        logger.info("left_what_is_locked", error=str(error))
