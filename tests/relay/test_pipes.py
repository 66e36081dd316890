from __future__ import annotations

import errno
import fcntl
import os

import pytest

from splicer.relay import pipes as module
from splicer.relay.pipes import Inherited, Pipe, PipePool
from tests.kit.descriptors import no_more_descriptors, open_descriptors
from tests.relay.harness import pipe_of
from tests.relay.registry import FakeVault, unread


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


# Past pipe-user-pages-soft; the pressure may be over later.
def test_of_small_pipes_one_is_kept_if_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Pipe", lambda: pipe_of(8192))
    pool = PipePool()
    small = [pool.take(), pool.take()]
    for pipe in small:
        pool.give_back(pipe)
    assert pool.clean == small[:1]
    monkeypatch.undo()
    large = pool.take(8193)  # bytes that must be in a pipe before a tunnel starts may not fit into the small one
    assert large.size > 8192
    for pipe in (pool.take(), large):
        pool.give_back(pipe)
    assert pool.take() is large
    pool.give_back(large)
    pool.close()


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


# ---- the keeper ----


def test_the_keeper_is_told_of_each_pipe_once_and_of_its_end() -> None:
    vault = FakeVault()
    pool = PipePool(vault, keep=1)
    pipes = [pool.take() for _ in range(3)]
    assert [(what, place) for what, place, _ in vault.notes] == [("add", 0), ("add", 1), ("add", 2)]
    assert [pipe.place for pipe in pipes] == [0, 1, 2]
    for pipe in pipes:
        assert os.fstat(vault.held[pipe.place]).st_ino == os.fstat(pipe.read_fd).st_ino
    vault.notes.clear()
    pool.give_back(pipes[0])  # stays open
    pool.give_back(pipes[1])  # one too many
    pool.discard(pipes[2])
    assert pool.take() is pipes[0]
    assert [(what, place) for what, place, _ in vault.notes] == [("drop", 1), ("drop", 2)]
    pool.give_back(pipes[0])
    pool.close()
    assert not vault.held


def test_a_place_is_used_again_and_never_by_two() -> None:
    """`FakeVault` refuses a place that is taken."""
    vault = FakeVault()
    pool = PipePool(vault, keep=0)
    for count in (3, 1, 5, 2):
        pipes = [pool.take() for _ in range(count)]
        for pipe in pipes:
            pool.discard(pipe)
    assert {place for _, place, _ in vault.notes} == set(range(5))


@pytest.mark.parametrize("refusal", [BlockingIOError(), OSError("the journal is full")])
def test_a_keeper_that_refuses_costs_no_descriptor_and_no_place(refusal: OSError) -> None:
    vault = FakeVault()
    pool = PipePool(vault, keep=0)
    pool.discard(pool.take())  # a place to be used again, and then a new one
    taken: list[Pipe] = []
    for refused_place in range(2):
        vault.refusal = refusal
        before = open_descriptors()
        for _ in range(3):
            with pytest.raises(type(refusal)):
                pool.take()
        assert (pool.in_use, len(vault.held)) == (refused_place, refused_place)
        assert open_descriptors() == before
        vault.refusal = None
        taken.append(pool.take())
        assert taken[-1].place == refused_place
    for pipe in taken:
        pool.discard(pipe)


# ---- the pipe that is put by ----


def test_the_last_pipe_is_lent_once_and_the_next_that_comes_back_takes_its_place() -> None:
    vault = FakeVault()
    pool = PipePool(vault)
    assert pool.take_last() is None
    pool.reserve()
    assert (pool.in_use, pool.idle, len(vault.held)) == (0, 0, 1)
    other, last = pool.take(), pool.take_last()
    assert last is not None
    assert last is not other
    assert (pool.in_use, pool.take_last()) == (2, None)
    pool.give_back(other)
    assert (pool.in_use, pool.idle) == (1, 0)
    assert pool.take_last() is other
    pool.give_back(other)
    pool.give_back(last)
    assert (pool.in_use, pool.idle) == (0, 1)
    pool.close()
    assert (pool.idle, vault.held) == (0, {})


def test_a_last_pipe_that_was_lost_is_replaced_by_the_next_that_comes_back() -> None:
    pool = PipePool(keep=0)
    pool.reserve()
    other, last = pool.take(), pool.take_last()
    assert last is not None
    pool.discard(last)
    pool.give_back(other)
    assert pool.take_last() is other
    pool.give_back(other)
    pool.close()


def test_without_a_descriptor_nothing_can_be_put_by() -> None:
    pool = PipePool()
    with no_more_descriptors(), pytest.raises(OSError, match="Too many open files"):
        pool.reserve()
    assert pool.take_last() is None


# ---- pipes between workers ----


def _filled(data: bytes) -> int:
    read_fd, write_fd = os.pipe()
    os.write(write_fd, data)
    os.close(write_fd)
    return read_fd


def test_an_inherited_pipe_knows_what_it_holds() -> None:
    pipe = Inherited(_filled(b"left over"))
    assert pipe.unread == 9
    assert os.read(pipe.read_fd, 4) == b"left"
    assert pipe.unread == 5
    pipe.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(pipe.read_fd, 1)


@pytest.mark.parametrize("end", ["give_back", "discard"])
def test_an_inherited_pipe_is_kept_like_any_other_and_never_used_again(end: str) -> None:
    vault = FakeVault()
    pool = PipePool(vault)
    pool.reserve()
    last = pool.take_last()
    assert last is not None
    pipe = pool.adopt(_filled(b"left"), 0xABC1)
    assert pool.in_use == 2
    assert vault.words[pipe.place] == 0xABC1
    assert unread(vault.held[pipe.place]) == 4
    getattr(pool, end)(pipe)
    assert (pool.in_use, pool.idle, pool.take_last()) == (1, 0, None)
    assert set(vault.held) == {last.place}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pipe.read_fd)
    pool.give_back(last)
    pool.close()


@pytest.mark.parametrize("refusal", [BlockingIOError(), OSError("the journal is full")])
def test_an_inherited_pipe_of_which_the_keeper_will_not_hear_is_used_all_the_same(refusal: OSError) -> None:
    vault = FakeVault()
    pool = PipePool(vault)
    vault.refusal = refusal
    pipe = pool.adopt(_filled(b"left"), 0xABC1)
    assert (pipe.unread, pool.in_use, vault.held) == (4, 1, {})
    pool.discard(pipe)
    assert (pool.in_use, vault.notes) == (0, [])


def test_a_pipe_that_goes_to_another_worker_stays_with_the_keeper() -> None:
    vault = FakeVault()
    pool = PipePool(vault)
    pipe = pool.take()
    os.write(pipe.write_fd, b"parked")
    pool.leave(pipe)
    assert pool.in_use == 0
    assert os.read(vault.held[pipe.place], 10) == b"parked"
    other = pool.take()
    assert other.place != pipe.place, "the journal still speaks of the first"
    pool.discard(other)
    vault.close()
