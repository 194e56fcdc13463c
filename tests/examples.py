"""How many examples tests try whose examples are dear: each writes to the database, asks the API, or compiles a graph.

`make test` tries a part of them; `make test-deep` tries all of those marked `properties`, and says so in
HYPOTHESIS_PROFILE.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

FEWEST = 5
IS_DEEP = os.environ.get("HYPOTHESIS_PROFILE", "") == "deep"
T = TypeVar("T")


def examples(count: int) -> int:
    """`max_examples` of a test that tries `count` in the deep run."""
    return count if IS_DEEP else max(FEWEST, count // 4)


def in_turn(values: Sequence[T], turn: int, count: int) -> list[T]:
    """`count` of the values, the next ones at each turn, so that all get theirs; all of them in the deep run."""
    if IS_DEEP or count >= len(values):
        return list(values)
    return [values[(turn * count + number) % len(values)] for number in range(count)]


def one_of_each(keyed: Iterable[tuple[Hashable, T]]) -> list[T]:
    """Of the examples with the same key one, the first, second, third … in turn; all of them in the deep run."""
    groups = defaultdict(list)
    for key, example in keyed:
        groups[key].append(example)
    if IS_DEEP:
        return [example for group in groups.values() for example in group]
    return [group[turn % len(group)] for turn, group in enumerate(groups.values())]
