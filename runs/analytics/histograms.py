"""Durations as counts in buckets whose limits grow by 2 %: every estimate is right to 1 %, also after merging.

The same mapping as DDSketch's. The database's `runs_bucket` puts a duration into its bucket: `ceil(log(microseconds) /
log(GROWTH))`, 0 up to one microsecond. A histogram is stored as entries of bucket and count (below zero where something
was taken back), big-endian, 4 bytes each; a bucket may recur, so appending is merging.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from math import ceil
from struct import Struct

ERROR = 0.01
"""How far an estimate is off at most, relative to the true value."""
GROWTH = (1 + ERROR) / (1 - ERROR)
ENTRY = Struct(">ii")
_MICROSECOND = 1e-6

Histogram = dict[int, int]
"""How many durations each bucket holds."""


def read(entries: bytes) -> Histogram:
    """All entries of stored histograms, one behind the other."""
    counts: Histogram = {}
    # Equal entries are counted at once, as the numbers that they would be: that is done in C.
    for number, times in Counter(memoryview(entries).cast("q")).items():
        bucket, count = ENTRY.unpack(number.to_bytes(ENTRY.size, sys.byteorder, signed=True))
        counts[bucket] = counts.get(bucket, 0) + count * times
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
