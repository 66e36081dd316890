"""The worker's side of its private channel: all rows, in packets that fit, and nobody waits for a reader."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.ipc import wire
from splicer.ipc.queries import AskCounts, AskTunnels, ClosedRow, CloseTunnel, CountRow, UnknownQuestion
from splicer.ipc.query import RowBatches, answer_queries
from splicer.vault.protocol import channel
from tests.ipc.asker import Answer, asking, failed, numbers, row
from tests.kit.descriptors import none_left_open

_MANY = 2000  # batches: more than a channel holds


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    with none_left_open():
        yield


# ---- answers ----


async def test_all_rows_come_in_order_and_then_the_end() -> None:
    async with asking({CloseTunnel: numbers(_MANY)}) as (asker, _):
        asker.ask(number=77)
        assert await asker.answer() == (77, [row(number) for number in range(_MANY)])
        assert asker.hears_nothing()


async def test_a_question_brings_along_what_it_is_about() -> None:
    heard: list[CloseTunnel] = []

    def close(question: CloseTunnel) -> RowBatches:
        heard.append(question)
        yield [ClosedRow(question.id)]

    async with asking({CloseTunnel: close}) as (asker, _):
        wire.send(asker.sock, CloseTunnel(3, "abc"))
        assert await asker.answer() == (3, [ClosedRow("abc")])
        assert heard == [CloseTunnel(3, "abc")]


@pytest.mark.parametrize("nothing", [lambda _: iter(()), lambda _: iter(([], []))])
async def test_an_answer_may_have_no_rows(nothing: Answer) -> None:
    async with asking({CloseTunnel: nothing}) as (asker, _):
        asker.ask(number=4)
        assert await asker.answer() == (4, [])
        assert len(asker.sizes) == 1


async def test_questions_are_answered_one_after_the_other() -> None:
    sums = [CountRow((), number, 0, 1) for number in range(2)]
    async with asking({CloseTunnel: numbers(3), AskCounts: lambda _: iter([sums])}) as (asker, _):
        for number, what in enumerate((CloseTunnel, AskCounts, CloseTunnel)):
            asker.ask(what, number)
        for number, count in enumerate((3, 2, 3)):
            told, rows = await asker.answer()
            assert (told, len(rows)) == (number, count)


async def test_a_question_that_came_later_is_answered_with_that() -> None:
    async with asking({CloseTunnel: numbers(3)}) as (asker, _):
        asker.sock.send(b'{"version": 1, "kind": "weather", "request": 5, "place": "here"}')
        assert await asker.packet() == UnknownQuestion(5, more=False, rows=())
        asker.ask()
        assert len((await asker.answer())[1]) == 3


# ---- others have their turn ----


async def test_other_tasks_go_on_between_two_batches() -> None:
    turns = itertools.count()
    seen: list[int] = []

    async def other() -> None:
        while True:
            next(turns)
            await trio.lowlevel.checkpoint()

    def pauses(_: AskCounts) -> RowBatches:
        while len(seen) < 10:
            seen.append(next(turns))
            yield []

    async with asking({AskCounts: pauses}) as (asker, _), trio.open_nursery() as nursery:
        nursery.start_soon(other)
        asker.ask(AskCounts)
        assert await asker.answer() == (1, [])
        nursery.cancel_scope.cancel()
    assert seen[-1] - seen[0] >= 9 + 8, "one turn each, in whatever order"


async def test_a_reader_that_stops_holds_up_nobody_and_misses_nothing() -> None:
    made = []

    def rows(_: CloseTunnel) -> RowBatches:
        for number in range(_MANY):
            made.append(number)
            yield [row(number, 1000)]

    async with asking({CloseTunnel: rows, AskTunnels: lambda _: iter(())}) as (asker, _):
        asker.ask()
        asker.ask(AskTunnels, 2)
        await wait_all_tasks_blocked()
        held = len(made)
        assert 0 < held < _MANY, "what nobody takes is not even made"
        await wait_all_tasks_blocked()
        assert len(made) == held
        assert (await asker.answer())[1] == [row(number, 1000) for number in range(_MANY)]
        assert await asker.answer() == (2, [])


# ---- the end ----


async def test_it_ends_with_the_other_side() -> None:
    async with asking({}) as (asker, answering):
        await wait_all_tasks_blocked()
        asker.sock.close()
        await answering.over()


@pytest.mark.parametrize("read", [0, 1, 5])
async def test_the_other_side_may_die_in_the_middle_of_an_answer(read: int) -> None:
    over = []

    def rows(_: CloseTunnel) -> RowBatches:
        try:
            for number in range(_MANY):
                yield [row(number, 1000)]
        finally:
            over.append(True)

    async with asking({CloseTunnel: rows}) as (asker, answering):
        asker.ask()
        for _ in range(read):
            await asker.packet()
        await wait_all_tasks_blocked()
        asker.sock.close()
        await answering.over()
    assert over


async def test_it_ends_when_the_other_side_reads_nothing_for_seconds(autojump_clock: MockClock) -> None:
    over = []

    def rows(_: CloseTunnel) -> RowBatches:
        try:
            yield from numbers(_MANY, 1000)(CloseTunnel(1, "a"))
        finally:
            over.append(True)

    async with asking({CloseTunnel: rows}) as (asker, answering):
        asker.ask()
        await trio.sleep(4)
        assert not over
        await answering.over()
        assert over
        assert await asker.packet() is not None  # what was said before is there


async def test_the_other_side_may_be_gone_before_it_is_heard() -> None:
    ours, its = channel()
    wire.send(ours, CloseTunnel(1, "a"))
    ours.close()
    with trio.fail_after(20):
        await answer_queries(its, {CloseTunnel: numbers(3)}, failed)
    assert its.fileno() == -1


async def test_it_ends_when_it_is_cancelled() -> None:
    ours, its = channel()
    with ours:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_queries, its, {}, failed)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert ours.recv(1) == b""


@pytest.mark.parametrize(
    "nonsense",
    [b"nonsense", b'{"kind": "close", "request": 1, "id": ""}', b'{"version": 1, "kind": "close", "request": 1}'],
)
async def test_who_is_not_understood_is_left(nonsense: bytes) -> None:
    async with asking({CloseTunnel: numbers(3)}) as (asker, answering):
        asker.sock.send(nonsense)
        await answering.over()
        assert await asker.packet() is None
