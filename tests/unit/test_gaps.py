"""Kernels begin with pools of memory of their own."""

import sys

import pytest

from dashtrade.dashboards.zygote.gaps import HEADER, LIMIT, POOL, fill_gaps


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="CPython's allocator")
def test_after_filling_new_objects_come_from_pools_that_nobody_used():
    size = 496
    places = (POOL - HEADER) // size
    many = [bytes(size - sys.getsizeof(b"")) for _ in range(20 * places)]
    del many[::3]  # a few free places in every pool
    before = {id(thing) // POOL for thing in many}
    filling = fill_gaps()
    new = [bytes(size - sys.getsizeof(b"")) for _ in range(places)]
    assert before.isdisjoint(id(thing) // POOL for thing in new)
    assert any(filling)


def test_what_it_keeps_is_bounded():
    assert sum(sys.getsizeof(thing) for things in fill_gaps() for thing in things) < 32 * LIMIT
