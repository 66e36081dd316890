"""What this process has open, and how to let it have no more."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
from collections.abc import Iterator
from pathlib import Path


def open_descriptors() -> set[str]:
    """Each as "number -> what"."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the directory's own
            found.add(f"{entry.name} -> {entry.readlink()}")
    return found


@contextlib.contextmanager
def none_left_open() -> Iterator[None]:
    """Fail if anything that was opened within is still open at the end."""
    before = open_descriptors()
    yield
    if open_descriptors() - before:
        gc.collect()  # garbage may hold some
        assert open_descriptors() - before == set()


@contextlib.contextmanager
def no_more_descriptors() -> Iterator[None]:
    """While it lasts, whoever wants a new descriptor gets EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
