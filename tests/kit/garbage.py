"""A collector that looks only when it is asked, and only at what is new."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counting_garbage() -> Iterator[Callable[[], int]]:
    """How many objects are garbage that no reference count has freed; only those count that were made in here."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield gc.collect
    finally:
        gc.enable()
        gc.unfreeze()
