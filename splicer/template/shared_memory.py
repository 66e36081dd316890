"""The memory that forked processes share: it stays shared as long as nobody writes to it."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

from splicer.ipc.memory import give_back
from splicer.template.gaps import fill

_M_ARENA_MAX = -8  # <malloc.h>

_filling: list[bytes] = []


def loosen() -> None:
    """Let new objects have the gaps again that `settle` has filled."""
    _filling.clear()


def settle() -> None:
    """Exempt all objects from collection, fill the gaps between them, and give back free memory, before a fork.

    A collection in a forked process would write to, and so copy, the pages of all objects. And one that is forked has
    one heap for all its threads (mallopt(3)): each other one costs it half a megabyte.
    """
    gc.collect()
    gc.freeze()
    with suppress(AttributeError):  # of another version of Python
        sys._clear_type_cache()  # replacing an entry would write to two names
    with suppress(AttributeError):  # musl has none
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    give_back()
    _filling.extend(fill())
