from __future__ import annotations

import errno
import fcntl
import os

import pytest

from splicer.relay import pipes as module
from splicer.relay.pipes import Pipe, PipePool
from tests.descriptors import no_more_descriptors
from tests.relay.harness import pipe_of


def test_a_pipe_knows_its_size_and_never_blocks() -> None:
    pipe = Pipe()
    assert pipe.size == fcntl.fcntl(pipe.read_fd, fcntl.F_GETPIPE_SZ)
    assert os.write(pipe.write_fd, bytes(2 * pipe.size)) == pipe.size
    with pytest.raises(BlockingIOError):
        os.write(pipe.write_fd, b"x")
    assert len(os.read(pipe.read_fd, 2 * pipe.size)) == pipe.size
    with pytest.raises(BlockingIOError):
        os.read(pipe.read_fd, 1)
    assert not os.get_inheritable(pipe.read_fd)
    assert not os.get_inheritable(pipe.write_fd)
    pipe.close()


def test_a_clean_pipe_is_used_again() -> None:
    pool = PipePool()
    first, second = pool.take(), pool.take()
    assert (pool.in_use, pool.idle) == (2, 0)
    pool.give_back(first)
    assert (pool.in_use, pool.idle) == (1, 1)
    assert pool.take() is first
    pool.give_back(first)
    pool.give_back(second)
    assert (pool.in_use, pool.idle) == (0, 2)
    pool.close()
    assert pool.idle == 0


def test_a_discarded_pipe_is_closed() -> None:
    pool = PipePool()
    pipe = pool.take()
    os.write(pipe.write_fd, b"left over")
    pool.discard(pipe)
    assert (pool.in_use, pool.idle) == (0, 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(pipe.write_fd, b"x")


def test_no_more_than_keep_are_kept() -> None:
    pool = PipePool(keep=2)
    for pipe in [pool.take() for _ in range(5)]:
        pool.give_back(pipe)
    assert (pool.in_use, pool.idle) == (0, 2)
    pool.close()


# Bytes that must be in a pipe before a tunnel starts may not fit into it; and the pressure may be over by then.
def test_a_pipe_made_under_pressure_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Pipe", lambda: pipe_of(8192))
    pool = PipePool()
    pool.give_back(pool.take())
    assert pool.idle == 0


def test_without_a_descriptor_none_is_taken() -> None:
    pool = PipePool()
    kept = pool.take()
    pool.give_back(kept)
    with no_more_descriptors():
        assert pool.take() is kept
        with pytest.raises(OSError, match="Too many open files") as caught:
            pool.take()
    assert caught.value.errno == errno.EMFILE
    assert pool.in_use == 1
    pool.give_back(kept)
    pool.close()
