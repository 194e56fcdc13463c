"""Whether the worker of this machine is alive, for who restarts it: its event loop touches a file every second.

    python -m runs.alive     # status 0, or 1 with the reason

Nothing is imported and nobody is asked: a worker outlives its database, and starting it anew would not bring that back.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

EVERY_SECONDS = 1.0
# The loop may be busy, but not for so long.
LOST_AFTER_SECONDS = 15.0
SETTING = "WORKER_ALIVE_FILE"


async def show_alive(path: Path) -> None:
    """Touches the file until it is cancelled; takes it away then."""
    try:
        while True:
            path.touch()
            await asyncio.sleep(EVERY_SECONDS)
    finally:
        path.unlink(missing_ok=True)


def problem_of(path: Path) -> str:
    """Why the worker counts as dead; empty where it is alive."""
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return f"{path} is not there: the worker has not started, or has ended."
    if age > LOST_AFTER_SECONDS:
        return f"The worker's event loop has stood still for {age:.0f} seconds."
    return ""


if __name__ == "__main__":
    if not (name := os.environ.get(SETTING)):
        sys.exit(f"{SETTING} is not set.")
    sys.exit(problem_of(Path(name)) or 0)
