"""Kernels begin with pools of memory of their own. In a process of its own: what other tests have left has more gaps
than are filled."""

import subprocess
import sys

PROGRAM = """
import sys
from dashtrade.dashboards.zygote.gaps import HEADER, LIMIT, POOL, fill_gaps
size = 496
places = (POOL - HEADER) // size
many = [bytes(size - sys.getsizeof(b"")) for _ in range(20 * places)]
del many[::3]  # a few free places in every pool
before = {id(thing) // POOL for thing in many}
filling = fill_gaps()
new = [bytes(size - sys.getsizeof(b"")) for _ in range(places)]
assert before.isdisjoint(id(thing) // POOL for thing in new)
assert any(filling)
assert sum(sys.getsizeof(thing) for things in filling for thing in things) < 32 * LIMIT
"""


def test_after_filling_new_objects_come_from_pools_that_nobody_used():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
