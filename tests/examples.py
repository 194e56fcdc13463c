"""How many examples the property tests try whose examples are dear: each writes to the database, or compiles a graph.

`make test` tries a quarter of them; `make test-deep` tries all of those marked `properties`, and says so in
HYPOTHESIS_PROFILE.
"""

from __future__ import annotations

import os

FEWEST = 5
IS_DEEP = os.environ.get("HYPOTHESIS_PROFILE", "") == "deep"


def examples(count: int) -> int:
    """`max_examples` of a test that tries `count` in the deep run."""
    return count if IS_DEEP else max(FEWEST, count // 4)
