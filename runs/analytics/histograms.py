"""Durations as counts in buckets whose limits grow by 2 %: every estimate is right to 1 %, also after merging.

The same mapping as DDSketch's. The database's `runs_bucket` puts a duration into its bucket: `ceil(log(microseconds) /
log(GROWTH))`, 0 up to one microsecond. A histogram is stored as entries of bucket and count (below zero where something
was taken back), big-endian, 4 bytes each; a bucket may recur, so appending is merging.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from math import ceil

ERROR = 0.01
"""How far an estimate is off at most, relative to the true value."""
GROWTH = (1 + ERROR) / (1 - ERROR)
_MICROSECOND = 1e-6

Histogram = dict[int, int]
"""How many durations each bucket holds."""


def read(entries: bytes) -> Histogram:
    """All entries of stored histograms, one behind the other."""
    # Equal entries are counted at once, as the numbers that they would be: that is done in C.
    times = Counter(memoryview(entries).cast("q"))
    parts = array("i", array("q", times).tobytes())
    if sys.byteorder == "little":
        parts.byteswap()
    counts: defaultdict[int, int] = defaultdict(int)
    for bucket, count, often in zip(parts[::2], parts[1::2], times.values(), strict=True):
        counts[bucket] += count * often
    return {bucket: count for bucket, count in counts.items() if count}


def quantiles(histogram: Histogram, wanted: Iterable[float]) -> list[float | None]:
    """Seconds below or at which the share `wanted` of all durations lies (nearest rank); None where there are none.

    `wanted` are in ascending order.
    """
    total = sum(histogram.values())
    if total <= 0:
        return [None for _ in wanted]
    found: list[float | None] = []
    ascending = iter(sorted(histogram.items()))
    bucket, reached = 0, 0
    for share in wanted:
        rank = max(1, ceil(share * total))
        while reached < rank:
            bucket, count = next(ascending)
            reached += count
        found.append(seconds_of(bucket))
    return found


def seconds_of(bucket: int) -> float:
    """The value that is nobody's in the bucket farther off than ERROR."""
    return round(2 * GROWTH**bucket / (GROWTH + 1) * _MICROSECOND, 9)
