"""Counting garbage: the collector runs only when asked, and only over new objects."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counting_garbage() -> Iterator[Callable[[], int]]:
    """Count the objects made within the block that only the garbage collector could free."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield gc.collect
    finally:
        gc.enable()
        gc.unfreeze()
