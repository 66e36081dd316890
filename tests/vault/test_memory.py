"""Memory that several processes share."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator

import pytest

from splicer.vault.memory import sealed_memory

_SIZE = 3 * mmap.PAGESIZE


@pytest.fixture
def fd() -> Iterator[int]:
    fd = sealed_memory("test", _SIZE)
    yield fd
    os.close(fd)


def test_it_is_zero_and_has_its_size(fd: int) -> None:
    assert os.pread(fd, 2 * _SIZE, 0) == bytes(_SIZE)


def test_who_maps_it_sees_what_others_write(fd: int) -> None:
    with mmap.mmap(fd, _SIZE) as one, mmap.mmap(fd, _SIZE) as other:
        one[7] = 99
        assert other[7] == 99


# A process that touches what is gone gets SIGBUS, and ends with all that it holds.
@pytest.mark.parametrize("size", [0, _SIZE - 1, _SIZE + 1])
def test_nobody_can_make_it_shorter_or_longer(fd: int, size: int) -> None:
    with pytest.raises(OSError, match="not permitted") as raised:
        os.ftruncate(fd, size)
    assert raised.value.errno == errno.EPERM


def test_it_is_not_inherited_by_accident(fd: int) -> None:
    assert not os.get_inheritable(fd)
