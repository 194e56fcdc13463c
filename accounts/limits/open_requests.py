"""Requests that are open at once, streams and sockets among them, counted in this process's memory.

Nothing outside of it counts them: a process that dies takes its requests along and leaves no count behind. So a limit
holds for each web process.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agentplatform.lib.errors import RateLimited

# Nobody can say when another request ends; most do soon.
RETRY_AFTER_SECONDS = 1.0


class OpenPolicy(NamedTuple):
    """So many requests of `key` at once, under the name that clients know the limit by."""

    name: str
    maximum: int
    key: str


class OpenUse(NamedTuple):
    """What is open under a policy, this request among it."""

    policy: OpenPolicy
    counted: int

    @property
    def remaining(self) -> int:
        return max(0, self.policy.maximum - self.counted)


_lock = threading.Lock()
_open: Counter[str] = Counter()


def opened(policies: Sequence[OpenPolicy]) -> tuple[list[OpenUse], Callable[[], None]]:
    """Counts one more open request under each policy, and what takes it back at the request's end.

    One beyond a limit is not counted: `refuse_beyond` says so of it.
    """
    with _lock:
        uses = [OpenUse(policy, _open[policy.key] + 1) for policy in policies]
        if any(use.counted > use.policy.maximum for use in uses):
            return uses, _nothing
        _open.update(policy.key for policy in policies)
    return uses, lambda: _close(policies)


def refuse_beyond(uses: Sequence[OpenUse]) -> None:
    """Raises RateLimited where too many are open."""
    for use in uses:
        if use.counted > use.policy.maximum:
            raise RateLimited(
                f"More than {use.policy.maximum} requests at once (limit {use.policy.name!r});"
                " let one of them end, or close a stream.",
                retry_after=RETRY_AFTER_SECONDS,
            )


def _close(policies: Sequence[OpenPolicy]) -> None:
    with _lock:
        for policy in policies:
            _open[policy.key] -= 1
            if _open[policy.key] <= 0:
                del _open[policy.key]


def _nothing() -> None:
    """What was refused has nothing to take back."""
