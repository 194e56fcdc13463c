"""A steady load: work of all kinds at a fixed rate, whether what was begun before has ended or not."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from bench.soak.work import PATIENCE_SECONDS, Found, Work

# Out of a hundred.
SHARES = {
    "chat": 38,
    "tool": 12,
    "session": 12,
    "cancel": 6,
    "approve": 4,
    "pause": 3,
    "socket": 7,
    "read": 18,
}
# Seconds from one to the next.
NOW_AND_THEN = {"export": 20.0, "workbook": 60.0}


class Load:
    """`per_second` works are begun in each second; their time counts from when they were due."""

    def __init__(self, work: Work, found: Found, per_second: float) -> None:
        self._work, self._found, self._per_second = work, found, per_second
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    async def keep(self, seconds: float) -> None:
        """Returns when all that was begun has ended."""
        began = self._found.began_ns
        for due, kind in schedule(self._per_second, seconds):
            due_ns = began + int(due * 1e9)
            await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
            self._begin(kind, due_ns)
        await asyncio.gather(*self._under_way)

    def _begin(self, kind: str, due_ns: int) -> None:
        task = asyncio.create_task(self._done(kind, due_ns))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _done(self, kind: str, due_ns: int) -> None:
        work: Callable[[], Awaitable[None]] = getattr(self._work, kind)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await work()
        except Exception as error:
            moment = self._found.moment(time.monotonic_ns())
            self._found.failures.append(f"{moment:.0f} s: {kind}: {type(error).__name__}: {error}"[:500])
        else:
            self._found.took(kind, due_ns)


def schedule(per_second: float, seconds: float) -> list[tuple[float, str]]:
    """When each work is due, in seconds, and its kind: the same in every soak, and even over time."""
    mixed = [kind for kind, share in SHARES.items() for _ in range(share)]
    random.Random(1).shuffle(mixed)
    often = [(number / per_second, mixed[number % len(mixed)]) for number in range(int(per_second * seconds))]
    rare = [
        (number * every, kind)
        for kind, every in NOW_AND_THEN.items()
        for number in range(1, int(seconds // every) + 1)
    ]
    return sorted(often + rare)
