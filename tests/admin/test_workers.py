from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.admin.workers import Answers, Workers
from splicer.ipc import wire
from splicer.ipc.queries import (
    AskCounts,
    AskTunnels,
    ClosedRow,
    CloseTunnel,
    CountRow,
    Question,
    TunnelRow,
    TunnelRows,
    UnknownQuestion,
)
from splicer.observe.line_writer import LineWriter
from splicer.observe.log import make_logger
from splicer.vault.protocol import channel
from tests.admin.rig import FakeWorker, rig, tunnel
from tests.kit.descriptors import none_left_open

_AUTOJUMP_THRESHOLD = 0.05  # real seconds in which nothing happens, after which the clock jumps


def _ids(answers: Answers[TunnelRow]) -> list[str]:
    return sorted(row.id for row in answers.rows)


async def _dead(worker: FakeWorker) -> None:
    """It ends, and the other side has noticed."""
    worker.die()
    await trio.testing.wait_all_tasks_blocked(0.01)


async def test_without_workers_there_is_no_row() -> None:
    async with rig() as admin:
        assert await admin.workers.ask(AskTunnels) == Answers([], [])


async def test_all_are_asked_at_once() -> None:
    async with rig() as admin:
        asked: list[tuple[FakeWorker, Question[Any]]] = []

        def together(worker: FakeWorker, question: Question[Any]) -> None:
            asked.append((worker, question))
            if len(asked) == 2:  # neither is answered before both are asked
                for one, its in asked:
                    one.reply(its)

        admin.worker(1, together, tunnels=[tunnel("a"), tunnel("b")])
        admin.worker(2, together, tunnels=[tunnel("c")])
        answers = await admin.workers.ask(AskTunnels, 20)
        assert (_ids(answers), answers.missing) == (["a", "b", "c"], [])
        assert [question for _, question in asked] == [AskTunnels(1)] * 2


async def test_a_question_brings_along_what_it_is_about() -> None:
    async with rig() as admin:
        worker = admin.worker(1, tunnels=[tunnel("a"), tunnel("b")])
        answers = await admin.workers.ask(partial(CloseTunnel, id="b"), 20)
        assert answers == Answers([ClosedRow("b")], [])
        assert worker.heard == [CloseTunnel(1, "b")]


# It is older, and the row of what it does not know would be missing without a word.
async def test_one_that_does_not_know_the_question_is_missing() -> None:
    def at_a_loss(worker: FakeWorker, question: Question[Any]) -> None:
        wire.send(worker.sock, UnknownQuestion(question.request, more=False, rows=()))

    async with rig() as admin:
        admin.worker(1, tunnels=[tunnel("a")])
        admin.worker(2, at_a_loss)
        answers = await admin.workers.ask(AskTunnels, 1e6)
        assert (_ids(answers), answers.missing) == (["a"], [2])


async def test_one_that_serves_and_has_no_channel_is_missing() -> None:
    async with trio.open_nursery() as nursery:
        workers = Workers(nursery, make_logger(LineWriter(2), "json"), lambda: {1, 3})
        assert await workers.ask(AskTunnels) == Answers([], [1, 3])


async def test_one_that_does_not_answer_in_time_is_missing(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig() as admin:
        admin.worker(1, tunnels=[tunnel("a")])
        admin.worker(7).mute = True
        before = trio.current_time()
        answers = await admin.workers.ask(AskTunnels, 0.25)
        assert (_ids(answers), answers.missing) == (["a"], [7])
        assert trio.current_time() == pytest.approx(before + 0.25)


async def test_late_answers_are_no_answers_to_the_next_question(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig() as admin:
        late: list[Question[Any]] = []

        def one_behind(worker: FakeWorker, question: Question[Any]) -> None:
            late.append(question)
            if len(late) == 2:
                worker.send(late[0], [tunnel("old")], more=True)
                worker.send(late[0], [], more=False)
                worker.send(late[1], [tunnel("new")], more=False)

        admin.worker(1, one_behind)
        assert (await admin.workers.ask(AskTunnels)).missing == [1]
        answers = await admin.workers.ask(AskTunnels)
        assert (_ids(answers), answers.missing) == (["new"], [])


async def test_questions_do_not_wait_for_each_other() -> None:
    async with rig() as admin:
        held: list[CloseTunnel] = []

        def backwards(worker: FakeWorker, question: Question[Any]) -> None:
            assert isinstance(question, CloseTunnel)
            held.append(question)
            if len(held) == 2:
                for one in reversed(held):
                    worker.send(one, [ClosedRow(one.id)], more=False)

        admin.worker(1, backwards)
        found: dict[str, list[ClosedRow]] = {}

        async def ask(what: str) -> None:
            found[what] = (await admin.workers.ask(partial(CloseTunnel, id=what), 20)).rows

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "one")
            nursery.start_soon(ask, "two")
        assert found == {"one": [ClosedRow("one")], "two": [ClosedRow("two")]}


async def test_one_that_dies_while_it_answers_is_missing_at_once_and_then_forgotten() -> None:
    async with rig() as admin:

        def half(worker: FakeWorker, question: Question[Any]) -> None:
            worker.send(question, [tunnel("a")], more=True)
            worker.die()

        admin.worker(1, half)
        admin.worker(2, tunnels=[tunnel("b")])
        answers = await admin.workers.ask(AskTunnels, 1e6)
        assert (_ids(answers), answers.missing) == (["a", "b"], [1])
        assert (await admin.workers.ask(AskTunnels)).missing == []
        assert list(admin.workers.pids) == [2]


async def test_one_that_is_gone_is_nobody_to_ask() -> None:
    async with rig() as admin:
        gone = admin.worker(1)
        await admin.workers.ask(AskTunnels)
        await _dead(gone)
        assert await admin.workers.ask(AskTunnels) == Answers([], [])
        assert admin.workers.pids == {}


async def test_one_that_reads_nothing_delays_nobody(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig() as admin:
        ours, its = channel()
        admin.workers.add(3, 99, ours)
        with its:
            for number in range(2000):
                try:
                    wire.send(ours, AskTunnels(number))
                except BlockingIOError:
                    break
            assert (await admin.workers.ask(AskTunnels, 1e6)).missing == [3]


async def test_two_workers_of_a_slot_are_both_asked_and_a_tunnel_of_both_is_one() -> None:
    async with rig() as admin:
        admin.worker(1, tunnels=[tunnel("a"), tunnel("moving")], counts=[CountRow((("call", "pod-1", 2),), 0, 0, 1)])
        admin.worker(1, tunnels=[tunnel("moving"), tunnel("b")], counts=[CountRow((("call", "pod-1", 2),), 0, 0, 1)])
        assert _ids(await admin.workers.ask(AskTunnels)) == ["a", "b", "moving"]
        assert len((await admin.workers.ask(AskCounts)).rows) == 2


async def test_a_process_has_one_channel() -> None:
    async with rig() as admin:
        (first, old), (second, new) = channel(), channel()
        with old, new:
            admin.workers.add(1, 5, first)
            admin.workers.add(1, 5, second)
            await trio.lowlevel.wait_readable(old)
            assert old.recv(1) == b""
            assert (await admin.workers.ask(AskTunnels, 0.01)).missing == [1]
            assert wire.receive(new, Question) is not None
            assert first.fileno() < 0 <= second.fileno()


@pytest.mark.parametrize(
    "packet", [b"no JSON", b'{"version": 1, "rows": []}', b'{"version": 99, "kind": "tunnel_rows", "request": 1}']
)
async def test_one_that_can_not_be_understood_is_told_of_and_let_go(packet: bytes) -> None:
    def babble(worker: FakeWorker, _: Question[Any]) -> None:
        worker.sock.send(packet)

    async with rig() as admin:
        admin.worker(1, babble)
        assert (await admin.workers.ask(AskTunnels, 1e6)).missing == [1]
        assert [(line["event"], line["slot"]) for line in admin.logged()] == [("worker_unheard", 1)]


async def test_no_descriptor_stays_open() -> None:
    async def come_and_go() -> None:
        def with_one(worker: FakeWorker, question: Question[Any]) -> None:
            wire.send(worker.sock, TunnelRows(question.request, more=False, rows=()), (0,))

        async with rig() as admin:
            admin.worker(1)
            gone = admin.worker(2)
            admin.worker(3).die()
            admin.worker(4, with_one)
            await admin.workers.ask(AskTunnels, 0.01)
            await _dead(gone)
            await admin.workers.ask(AskTunnels, 0.01)
            with none_left_open():
                await admin.workers.ask(AskTunnels, 0.01)

    with none_left_open():
        await come_and_go()


async def test_settled_is_when_each_slot_has_had_its_one_worker_for_a_moment(mock_clock: MockClock) -> None:
    async with rig(wanted=2) as admin:
        admin.worker(1)
        assert not admin.workers.settled(1)
        mock_clock.jump(2)
        assert admin.workers.settled(1)
        assert not admin.workers.settled(2)
        admin.worker(2)
        twin = admin.worker(1)
        mock_clock.jump(2)
        assert not admin.workers.settled(2)
        await _dead(twin)
        assert not admin.workers.settled(2)
        mock_clock.jump(2)
        assert admin.workers.settled(2)


# However the parts of several workers' answers to several questions come in between each other.
@given(st.data())
def test_each_question_gets_all_rows_that_were_meant_for_it(data: st.DataObject) -> None:
    workers, questions = 3, 2
    parts = data.draw(
        st.lists(
            st.lists(st.integers(0, 3), min_size=questions, max_size=questions), min_size=workers, max_size=workers
        )
    )
    order = data.draw(st.randoms(use_true_random=False))

    async def run() -> None:
        async with rig(None) as admin:
            heard: list[tuple[int, FakeWorker, CloseTunnel]] = []

            def answer_all(worker: FakeWorker, question: Question[Any]) -> None:
                assert isinstance(question, CloseTunnel)
                heard.append((number[worker], worker, question))
                if len(heard) < workers * questions:
                    return
                streams: list[list[tuple[FakeWorker, CloseTunnel, int, bool]]] = []
                for which, one, its in heard:
                    size = parts[which][int(its.id)]
                    streams.append([(one, its, row, row < size) for row in range(size + 1)])
                while streams:
                    stream = order.choice(streams)
                    one, its, row, more = stream.pop(0)
                    one.send(its, [ClosedRow(f"{number[one]} {its.id} {row}")] if more else [], more=more)
                    streams = [left for left in streams if left]

            fakes = [admin.worker(slot, answer_all) for slot in range(workers)]
            number = {fake: index for index, fake in enumerate(fakes)}
            found: dict[str, Answers[ClosedRow]] = {}

            async def ask(what: str) -> None:
                found[what] = await admin.workers.ask(partial(CloseTunnel, id=what), 60)

            async with trio.open_nursery() as nursery:
                for question in range(questions):
                    nursery.start_soon(ask, str(question))
            for question in range(questions):
                answers = found[str(question)]
                assert answers.missing == []
                assert sorted(row.closed for row in answers.rows) == [
                    f"{who} {question} {row}" for who in range(workers) for row in range(parts[who][question])
                ]

    trio.run(run)
