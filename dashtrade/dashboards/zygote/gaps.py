"""Leaves no gaps in the memory that kernels will share.

Python puts small objects of one size into pools of 16 KiB. Imports leave thousands of pools with a few free places; a
kernel would put its own objects there first, one here and one there, and for each the system copies a page of 4 KiB
that was shared. With all places taken, a kernel begins with pools of its own: a page takes over a megabyte less.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

POOL = 16 * 1024
HEADER = 48  # of a pool; the first place comes right after it
STEP = 16
LARGEST = 512  # larger ones have no pools
#: Of one size, in bytes. Where so much finds no end, memory is not laid out as it is described here.
LIMIT = 2 * 1024 * 1024
BYTES_HEADER = sys.getsizeof(b"")


def fill_gaps() -> list[Any]:
    """Objects of every size in all free places; keep them. Empty for the sizes where that does not work."""
    return [_fill(size) for size in range(STEP, LARGEST + 1, STEP)]


def _fill(size: int) -> list[Any]:
    """Objects of one size, made until they come from a pool that nobody had used."""
    make, places = _maker(size), (POOL - HEADER) // size
    filling: list[Any] = [None] * (LIMIT // size)  # made now: a list that grows takes places, too
    for number in range(len(filling) - places):
        thing = filling[number] = make()
        if (id(thing) - HEADER) % POOL:
            continue
        for later in range(number + 1, number + places):
            filling[later] = make()
        pool = id(thing) // POOL
        inside = sum(id(filling[at]) // POOL == pool for at in range(number, number + places))
        if inside > 0.9 * places:  # nearly all of it was free
            return filling[:number]
    return []


def _maker(size: int) -> Callable[[], Any]:
    """Makes objects that take ``size`` bytes, nothing else, and are not kept for another use when they are let go."""
    if size == 16:
        return object
    if size == 32:
        return iter(range(1 << 40, 1 << 41)).__next__
    return partial(bytes, size - BYTES_HEADER)
