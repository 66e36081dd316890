"""The memory that forked processes share: it stays shared as long as nobody writes to it."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

_M_ARENA_MAX = -8  # <malloc.h>


def settle() -> None:
    """Exempt all objects from collection, and give back free memory; call this before a fork.

    A collection in a forked process would write to, and so copy, the pages of all objects. And one that is forked has
    one heap for all its threads (mallopt(3)): each other one costs it half a megabyte.
    """
    gc.collect()
    gc.freeze()
    with suppress(AttributeError):  # musl has neither
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, 1)
        library.malloc_trim(0)
