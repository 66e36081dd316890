"""The endpoint snapshot's memory: what is published is whole, whatever happens to its writer."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc.endpoint_memory import HALF, EndpointMemory, SnapshotFull, make_endpoint_memory


@pytest.fixture
def fd() -> Iterator[int]:
    fd = make_endpoint_memory()
    yield fd
    os.close(fd)


def test_nothing_was_published_yet(fd: int) -> None:
    reader = EndpointMemory(fd)
    assert (reader.sequence, reader.read()) == (0, None)


@given(st.lists(st.binary(max_size=100)))
def test_readers_see_what_was_published_last(texts: list[bytes]) -> None:
    fd = make_endpoint_memory()
    writer, reader = EndpointMemory(fd, writable=True), EndpointMemory(fd)
    os.close(fd)  # the memory stays mapped
    for number, text in enumerate(texts, 1):
        writer.publish(text)
        assert reader.sequence == number
        assert reader.read() == (number, text)


def test_what_is_too_long_changes_nothing(fd: int) -> None:
    writer = EndpointMemory(fd, writable=True)
    writer.publish(b"x" * HALF)
    with pytest.raises(SnapshotFull, match=rf"{HALF + 1} bytes of {HALF}"):
        writer.publish(b"y" * (HALF + 1))
    assert EndpointMemory(fd).read() == (1, b"x" * HALF)


def test_readers_can_write_nothing(fd: int) -> None:
    reader = EndpointMemory(fd)
    with pytest.raises(TypeError, match=r"read-?only"):
        reader.publish(b"text")


def test_a_text_that_changes_while_it_is_read_is_not_taken(fd: int) -> None:
    writer, reader = EndpointMemory(fd, writable=True), EndpointMemory(fd)
    writer.publish(b"one")
    writer.publish(b"two")
    start = 64  # of half 0, where the second one is
    writer._map[start : start + 1] = b"!"
    assert reader.read() is None
    writer._map[start : start + 1] = b"t"
    assert reader.read() == (2, b"two")


def test_readers_see_when_the_writer_was_alive(fd: int) -> None:
    writer, reader = EndpointMemory(fd, writable=True), EndpointMemory(fd)
    assert reader.alive_at == 0
    writer.renew(81244.1239)
    writer.publish(b"text")
    assert (reader.alive_at, reader.read()) == (81244.123, (1, b"text"))


def test_there_is_one_writer_until_it_ends(fd: int) -> None:
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        memory = EndpointMemory(fd, writable=True)
        os.write(tell, b"y" if memory.claim() else b"n")
        time.sleep(60)
        os._exit(0)
    try:
        assert os.read(told, 1) == b"y"
        waiting = EndpointMemory(fd, writable=True)
        assert not waiting.claim()
        assert not waiting.claim()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(told)
        os.close(tell)
    assert waiting.claim()
    assert waiting._lock is not None
    waiting._lock.close()  # which a process does by its end


def test_a_writer_that_is_killed_at_any_instant_leaves_a_whole_text(fd: int) -> None:
    """Each text is one number, many times."""
    reader, seed = EndpointMemory(fd), random.Random(1)
    before = 0
    for _ in range(25):
        pid = os.fork()
        if pid == 0:
            writer = EndpointMemory(fd, writable=True)
            while True:
                writer.publish(b"%d " % (writer.sequence + 1) * 2000)
        late = time.monotonic() + 20
        while reader.sequence <= before:
            assert time.monotonic() < late
        time.sleep(seed.uniform(0, 0.005))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        read = reader.read()
        assert read is not None
        before, text = read
        assert text == b"%d " % before * 2000
