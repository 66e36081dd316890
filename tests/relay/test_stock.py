"""Pipes are registered ahead of use, and no more of them than are of use."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.relay import stock as module
from splicer.relay.pipes import Pipe
from splicer.relay.stock import PipeStock
from tests.kit.descriptors import no_more_descriptors, open_descriptors
from tests.relay.harness import pipe_of, pipe_with
from tests.relay.movers import MakeStock
from tests.relay.registry import FakeVault, unread


def test_a_pipe_is_used_again(make_stock: MakeStock) -> None:
    stock = make_stock()
    stock.reserve()
    assert (stock.in_use, stock.idle) == (0, 0), "what is put by is neither"
    first, second = stock.take(0), stock.take(0)
    assert (stock.in_use, stock.idle) == (2, 0)
    stock._mover.pipes.give(first)
    assert (stock.in_use, stock.idle) == (1, 1)
    assert stock.take(0) is first
    last = stock.take_last()
    assert last is not None
    assert (stock.in_use, stock.idle, stock.take_last()) == (3, 0, None)
    for pipe in (first, second, last):
        stock.discard(pipe)
    assert (stock.in_use, stock.idle) == (0, 0)


def test_a_discarded_pipe_is_closed(make_stock: MakeStock) -> None:
    stock = make_stock()
    pipe = stock.take(0)
    os.write(pipe.write_fd, b"left over")
    stock.discard(pipe)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(pipe.write_fd, b"x")


def test_bytes_that_must_be_there_at_once_get_a_pipe_into_which_they_fit(
    make_stock: MakeStock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = make_stock()
    stock.reserve()
    monkeypatch.setattr(module, "Pipe", lambda: pipe_of(8192))
    small = stock.take(0)
    stock._mover.pipes.give(small)
    monkeypatch.undo()
    large = stock.take(8193)
    assert large.size > 8192
    assert stock.take(8192) is small
    for pipe in (small, large):
        stock.discard(pipe)


def test_without_a_descriptor_none_is_made(make_stock: MakeStock) -> None:
    stock = make_stock()
    with no_more_descriptors():
        for take in (lambda: stock.take(0), stock.reserve):
            with pytest.raises(OSError, match="Too many open files") as caught:
                take()
            assert caught.value.errno == errno.EMFILE
    assert (stock.in_use, stock.take_last()) == (0, None)


# ---- the vault ----


def test_the_vault_is_told_of_each_pipe_once_and_of_its_end(make_stock: MakeStock, vault: FakeVault) -> None:
    stock = make_stock(vault)
    pipes = [stock.take(0) for _ in range(3)]
    assert [(what, place) for what, place, _ in vault.notes] == [("add", 0), ("add", 1), ("add", 2)]
    assert [pipe.place for pipe in pipes] == [0, 1, 2]
    for pipe in pipes:
        assert os.fstat(vault.held[pipe.place]).st_ino == os.fstat(pipe.read_fd).st_ino
    vault.notes.clear()
    stock._mover.pipes.give(pipes[0])
    stock.discard(pipes[2])
    assert [(what, place) for what, place, _ in vault.notes] == [("drop", 2)]
    stock.discard(pipes[1])
    stock.close()
    assert not vault.held


def test_a_place_is_used_again_and_never_by_two(make_stock: MakeStock, vault: FakeVault) -> None:
    """`FakeVault` refuses a place that is taken."""
    stock = make_stock(vault)
    for count in (3, 1, 5, 2):
        for pipe in [stock.take(0) for _ in range(count)]:
            stock.discard(pipe)
    assert {place for _, place, _ in vault.notes} == set(range(5))


@pytest.mark.parametrize("refusal", [BlockingIOError(), OSError("the journal is full")])
def test_a_vault_that_refuses_costs_no_descriptor_and_no_place(
    make_stock: MakeStock, vault: FakeVault, refusal: OSError
) -> None:
    stock = make_stock(vault)
    stock.discard(stock.take(0))  # a place to be used again, and then a new one
    taken: list[Pipe] = []
    for refused_place in range(2):
        vault.refusal = refusal
        before = open_descriptors()
        for _ in range(3):
            with pytest.raises(type(refusal)):
                stock.take(0)
        assert (stock.in_use, len(vault.held)) == (refused_place, refused_place)
        assert open_descriptors() == before
        vault.refusal = None
        taken.append(stock.take(0))
        assert taken[-1].place == refused_place
    for pipe in taken:
        stock.discard(pipe)


def test_an_inherited_pipe_is_kept_like_any_other(make_stock: MakeStock, vault: FakeVault) -> None:
    stock = make_stock(vault)
    pipe = stock.adopt(pipe_with(b"left"), 0xABC1)
    assert stock.in_use == 1
    assert vault.words[pipe.place] == 0xABC1
    assert unread(vault.held[pipe.place]) == 4
    stock.discard(pipe)
    assert (stock.in_use, vault.held) == (0, {})
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pipe.read_fd)


@pytest.mark.parametrize("refusal", [BlockingIOError(), OSError("the journal is full")])
def test_an_inherited_pipe_of_which_the_vault_will_not_hear_is_used_all_the_same(
    make_stock: MakeStock, vault: FakeVault, refusal: OSError
) -> None:
    stock = make_stock(vault)
    vault.refusal = refusal
    pipe = stock.adopt(pipe_with(b"left"), 0xABC1)
    assert (pipe.unread, stock.in_use, vault.held) == (4, 1, {})
    stock.discard(pipe)
    assert (stock.in_use, vault.notes) == (0, [])


def test_a_pipe_that_goes_to_another_worker_stays_with_the_vault(make_stock: MakeStock, vault: FakeVault) -> None:
    stock = make_stock(vault)
    pipe = stock.take(0)
    os.write(pipe.write_fd, b"parked")
    stock.leave(pipe)
    assert stock.in_use == 0
    assert os.read(vault.held[pipe.place], 10) == b"parked"
    other = stock.take(0)
    assert other.place != pipe.place, "the journal still speaks of the first"
    stock.discard(other)
    vault.close()


# ---- ahead of use ----


class Running:
    """A stock that is kept filled, and how often somebody was told that pipes have come."""

    def __init__(self, make_stock: MakeStock, vault: FakeVault) -> None:
        self.told = 0
        self.vault = vault
        self.stock: PipeStock = make_stock(vault, self._tell)
        self.stock.reserve()

    def _tell(self) -> None:
        self.told += 1

    async def filled(self) -> int:
        """How many pipes wait when nothing more happens."""
        await wait_all_tasks_blocked()
        return self.stock.idle


@pytest.fixture
async def running(
    make_stock: MakeStock, vault: FakeVault, nursery: trio.Nursery, mock_clock: MockClock
) -> AsyncIterator[Running]:
    running = Running(make_stock, vault)
    nursery.start_soon(running.stock.run)
    yield running
    nursery.cancel_scope.cancel()
    running.stock.close()


async def test_an_idle_worker_has_the_one_pipe_that_is_put_by(running: Running) -> None:
    assert (await running.filled(), len(running.vault.held)) == (0, 1)


async def test_the_first_that_is_taken_fills_the_stock_and_the_vault_knows_each(running: Running) -> None:
    pipe = running.stock.take(0)
    idle = await running.filled()
    assert 4 <= idle <= 16
    assert len(running.vault.held) == 1 + 1 + idle
    assert running.told == 0, "nobody waited for one"
    running.stock.discard(pipe)


async def test_it_is_filled_again_when_few_are_left_and_not_for_each_that_is_taken(running: Running) -> None:
    taken = [running.stock.take(0)]
    full = await running.filled()
    taken.append(running.stock.take(0))
    assert await running.filled() == full - 1
    while running.stock.idle >= full // 2:
        taken.append(running.stock.take(0))
    assert await running.filled() == full
    for pipe in taken:
        running.stock.discard(pipe)


async def test_a_full_channel_delays_the_stock_until_there_is_room(running: Running) -> None:
    first = running.stock.take(0)
    running.vault.full = True
    assert await running.filled() == 0
    running.vault.full = False
    running.vault.room.set()
    assert await running.filled() >= 4
    running.stock.discard(first)


@pytest.mark.parametrize("why", ["the vault takes nothing", "no descriptor", "the journal is full"])
async def test_what_cannot_be_had_is_tried_again_now_and_then(
    running: Running, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    attempts = 0

    def count() -> Pipe:
        nonlocal attempts
        attempts += 1
        if why == "no descriptor":
            raise OSError(errno.EMFILE, "Too many open files")
        return Pipe()

    first = running.stock.take(0)
    with monkeypatch.context() as patches:
        patches.setattr(module, "Pipe", count)
        running.vault.away = why == "the vault takes nothing"
        running.vault.refusal = OSError("full") if why == "the journal is full" else None
        for _ in range(4):
            assert await running.filled() == 0
            mock_clock.jump(0.3)
        assert await running.filled() == 0
        assert 4 <= attempts <= 10
    running.vault.away, running.vault.refusal = False, None
    mock_clock.jump(0.3)
    assert await running.filled() >= 4
    running.stock.discard(first)


# A user over pipe-user-pages-soft gets small ones, of which more than one is not worth keeping.
async def test_small_pipes_are_not_made_without_end(
    running: Running, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = running.stock.take(0)
    monkeypatch.setattr(module, "Pipe", lambda: pipe_of(8192))
    for _ in range(3):
        assert await running.filled() == 1
        mock_clock.jump(0.3)
    assert len(running.vault.held) == 3
    running.stock.discard(first)


# A direction that waits for a pipe has no event that would wake it: its peer may have said all that it has to say.
async def test_directions_that_wait_for_a_pipe_hear_of_new_ones(
    make_stock: MakeStock, vault: FakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = trio.Event()
    stock = make_stock(vault)
    monkeypatch.setattr(stock, "_refilled", heard.set)
    monkeypatch.setattr(type(stock._mover), "starved", property(lambda _: 1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stock.run)
        stock.look()
        with trio.fail_after(10):
            await heard.wait()
        nursery.cancel_scope.cancel()
    stock.close()
