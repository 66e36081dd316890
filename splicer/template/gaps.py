"""Filling the gaps that freed objects have left, so that the new objects of a forked process lie together.

CPython gives a new object a gap in memory that is partly used, if there is one for its size. Gaps are everywhere, and a
forked process would copy the page around each.
"""

from __future__ import annotations

import sys

_POOL_BYTES = 16 << 10  # memory for objects of one size (obmalloc.c)
_HEADER_BYTES = 48  # of these
_STEP = 16  # bytes between two sizes
_LARGEST = 512  # bytes; larger objects have no pools
_MOST_BYTES = 256 << 10  # that are filled for one size: another allocator (PYTHONMALLOC) has no pools to be found
_EMPTY = sys.getsizeof(b"")


def fill() -> list[bytes]:
    """Fill the gaps; they are gaps again as soon as what this returns is gone."""
    return [block for size in range(_EMPTY // _STEP * _STEP + _STEP, _LARGEST + 1, _STEP) for block in _fill(size)]


# Objects get all gaps before they get a new pool, which has room for as many as are counted here.
def _fill(size: int) -> list[bytes]:
    room = (_POOL_BYTES - _HEADER_BYTES) // size
    filling: list[bytes] = []
    newest: list[bytes] = []
    pool = 0
    while len(newest) < room and len(filling) * size < _MOST_BYTES:
        block = bytes(size - _EMPTY)
        if id(block) // _POOL_BYTES != pool:
            filling += newest
            newest.clear()
            pool = id(block) // _POOL_BYTES
        newest.append(block)
    return filling
