"""The open descriptors of this process, and a way to let it run out of them."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
from collections.abc import Iterator
from pathlib import Path


def open_descriptors() -> set[str]:
    """All open descriptors, each as "number -> target"."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the directory's own
            found.add(f"{entry.name} -> {entry.readlink()}")
    return found


@contextlib.contextmanager
def none_left_open() -> Iterator[None]:
    """Fail if a descriptor that was opened within the block is still open at its end."""
    before = open_descriptors()
    yield
    if open_descriptors() - before:
        gc.collect()  # garbage may hold some
        assert open_descriptors() - before == set()


@contextlib.contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Within the block every attempt to open a descriptor fails with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
