from __future__ import annotations

import fcntl
import os

import pytest

from splicer.relay.pipes import Inherited, Pipe
from tests.relay.harness import pipe_with


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


def test_an_inherited_pipe_knows_what_it_holds() -> None:
    pipe = Inherited(pipe_with(b"left over"))
    assert pipe.unread == 9
    assert os.read(pipe.read_fd, 4) == b"left"
    assert pipe.unread == 5
    pipe.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(pipe.read_fd, 1)
