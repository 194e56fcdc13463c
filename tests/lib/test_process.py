"""A process that has settled goes on finding the garbage of its own work."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own, as all of this is about the process. It has half a million objects that last, as a worker
# has, and then one that is garbage after it has outlived the young generations, and a good deal of work.
SETTLED = """
import gc, weakref
from agentplatform.lib.process import settle_process

class Thing:
    pass

lasting = [[number] for number in range(500_000)]
settle_process()
one = Thing()
one.itself = one
gone = weakref.ref(one)
gc.collect(0), gc.collect(1)
del one
for _ in range(50):
    work = [[] for _ in range(6_000)]
print(gone() is None, gc.get_freeze_count() > len(lasting))
"""


def test_collects_old_garbage_though_half_a_million_objects_last():
    found = subprocess.run([sys.executable, "-c", SETTLED], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "True"]
