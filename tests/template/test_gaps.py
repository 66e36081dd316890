"""New objects lie together, although others were freed all over the memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from splicer.template.gaps import fill

_PAGE = 4096
_COUNT = 1000


def _pages(blocks: list[bytes]) -> int:
    return len({id(block) // _PAGE for block in blocks})


@pytest.mark.parametrize("size", [48, 64, 208, 512])
def test_new_objects_lie_together_as_long_as_the_gaps_are_filled(size: int) -> None:
    length = size - sys.getsizeof(b"")
    many = [bytes(length) for _ in range(40 * _COUNT)]
    kept = many[::20]  # in each page there is one at least
    del many
    together = _COUNT * size // _PAGE
    filling = fill()
    assert _pages([bytes(length) for _ in range(_COUNT)]) < 1.5 * together + 8
    del filling
    assert _pages([bytes(length) for _ in range(_COUNT)]) < together + 100
    del kept


def test_it_takes_no_more_memory_than_the_gaps() -> None:
    first = fill()
    before = sys.getallocatedblocks()
    again = fill()
    assert sys.getallocatedblocks() - before < 4000, "hardly a gap was left"
    del first, again


@pytest.mark.parametrize("allocator", ["malloc", "debug", "pymalloc"])
def test_it_ends_with_any_allocator(allocator: str) -> None:
    told = "from splicer.template.gaps import fill; print(sum(map(len, fill())))"
    environ = {**os.environ, "PYTHONMALLOC": allocator}
    ran = subprocess.run([sys.executable, "-c", told], env=environ, capture_output=True, check=True, timeout=20)
    assert int(ran.stdout) < 10_000_000
