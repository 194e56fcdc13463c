"""Settings of the Python process itself."""

from __future__ import annotations

import gc
import sys


def tune_process() -> None:
    """For processes that run an event loop beside working threads.

    A shorter switch interval hands the interpreter to a waiting thread sooner, so that the journal's commit does
    not wait behind the loop for its 5 ms. Objects that live as long as the process are not looked
    at by each garbage collection.
    """
    sys.setswitchinterval(0.002)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
