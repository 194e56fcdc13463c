"""Settings of the Python process itself."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ARENAS = 1
# Of the garbage collector's three generations. The first is far larger than Python's 700, because a run in hand has
# thousands of objects, and small enough for a collection to take a few milliseconds.
THRESHOLDS = (5_000, 5, 5)
_M_ARENA_MAX = -8


def tune_process() -> None:
    """For processes that run an event loop beside working threads; called before the first thread begins.

    A shorter switch interval hands the interpreter to a waiting thread sooner, so that the journal's commit does
    not wait behind the loop for its 5 ms. Threads share the one arena of the C library's memory: with others for
    themselves, what one thread has freed, and the tens of megabytes that importing leaves free, are of no use to the
    rest, and the process grows. Who holds the interpreter's lock waits for nobody there.
    """
    sys.setswitchinterval(0.002)
    if (set_option := _of_c_library("mallopt")) is not None:
        set_option(_M_ARENA_MAX, ARENAS)


@contextmanager
def without_collecting() -> Iterator[None]:
    """For work that makes much that lasts, as importing does: looking for garbage in it again and again is in vain."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settle_process() -> None:
    """Called once all is imported: what lives as long as the process is not looked at by each garbage collection.

    Importing leaves much freed memory behind, which goes back to the system.
    """
    gc.collect()
    gc.freeze()
    # Python looks at the oldest objects once a quarter as many have come as there were the last time. What is frozen
    # counts until it has looked again: without that, garbage of a hundred thousand objects would be kept for hours.
    gc.collect()
    gc.set_threshold(*THRESHOLDS)
    if (trim := _of_c_library("malloc_trim")) is not None:
        trim(0)


def _of_c_library(name: str) -> ctypes._NamedFuncPointer | None:
    """A function that glibc has and other C libraries need not have."""
    return getattr(ctypes.CDLL(None), name, None)
