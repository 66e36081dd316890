"""New objects lie in pages of their own, although others were freed all over the memory.

Each test has a process of its own: in that of the other tests there are more gaps than are filled.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_LIES = """
import sys
from splicer.template.gaps import fill

def pages(blocks):
    return {id(block) // 4096 for block in blocks}

size, filled = map(int, sys.argv[1:])
length = size - sys.getsizeof(b"")
count = 200_000 // size  # more gaps are not filled
many = [bytes(length) for _ in range(count)]
kept = many[::20]  # in each page there is one at least
del many
filling = fill() if filled else None
print(len(pages([bytes(length) for _ in range(count // 4)]) & pages(kept)))
"""
_TAKES = """
import sys
from splicer.template.gaps import fill

first = fill()
before = sys.getallocatedblocks()
again = fill()
print(sys.getallocatedblocks() - before)
"""


def _told(program: str, *arguments: str, **environ: str) -> list[int]:
    command = [sys.executable, "-c", program, *arguments]
    ran = subprocess.run(command, env={**os.environ, **environ}, capture_output=True, check=True, timeout=20)
    return [int(word) for word in ran.stdout.split()]


@pytest.mark.parametrize("size", [48, 64, 208, 512])
def test_new_objects_share_no_pages_with_old_ones_if_the_gaps_are_filled(size: int) -> None:
    [shared] = _told(_LIES, str(size), "1")
    [shared_with_gaps] = _told(_LIES, str(size), "0")
    assert shared <= 4 < shared_with_gaps


def test_it_takes_no_more_memory_than_the_gaps() -> None:
    [taken] = _told(_TAKES)
    assert taken < 4000, "hardly a gap was left"


@pytest.mark.parametrize("allocator", ["malloc", "debug", "pymalloc"])
def test_it_ends_with_any_allocator(allocator: str) -> None:
    program = "from splicer.template.gaps import fill; print(sum(map(len, fill())))"
    [taken] = _told(program, PYTHONMALLOC=allocator)
    assert taken < 10_000_000
