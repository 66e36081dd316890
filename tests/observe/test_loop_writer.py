"""Lines that the event loop writes: all of them, whole and in order, or counted; and nobody waits for it."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from splicer.observe import loop_writer
from splicer.observe.line_writer import LineWriter
from splicer.observe.loop_writer import write_from_loop
from tests.observe.test_line_writer import fill, read_lines


async def read_some(fd: int, count: int) -> list[bytes]:
    return await trio.to_thread.run_sync(read_lines, fd, count)


async def begin(lines: LineWriter, nursery: trio.Nursery) -> None:
    nursery.start_soon(write_from_loop, lines)
    await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
async def nursery() -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


async def test_the_event_loop_writes_them_whole_and_in_order(pipe: tuple[int, int], nursery: trio.Nursery) -> None:
    lines = LineWriter(pipe[1])
    await begin(lines, nursery)
    sent = [f"{number} {'ä' * (number % 70)}" for number in range(3000)]
    for number, line in enumerate(sent):
        lines.write(line)
        if number % 500 == 0:
            await trio.sleep(0.03)
    assert [line.decode() for line in await read_some(pipe[0], len(sent))] == sent
    assert lines._thread is None
    assert lines.dropped == 0


async def test_a_full_pipe_holds_up_nobody_and_loses_nothing(pipe: tuple[int, int], nursery: trio.Nursery) -> None:
    filled = fill(pipe[1])
    lines = LineWriter(pipe[1])
    await begin(lines, nursery)
    for number in range(2000):
        lines.write(f"{number}")
    with trio.fail_after(5):
        await trio.sleep(0.1)  # the loop goes on
    assert len(os.read(pipe[0], filled)) == filled
    assert await read_some(pipe[0], 2000) == [b"%d" % number for number in range(2000)]
    assert lines._thread is None
    assert lines.dropped == 0


async def test_lines_that_do_not_fit_are_counted_in_the_event_loop_too(
    pipe: tuple[int, int], nursery: trio.Nursery
) -> None:
    fill(pipe[1])
    lines = LineWriter(pipe[1], capacity=10)
    await begin(lines, nursery)
    for _ in range(25):
        lines.write("x" * 2000)
        await trio.sleep(0.002)
    assert 11 <= lines.dropped <= 15  # what is about to be written counts once


async def test_a_reader_that_has_gone_costs_its_lines_alone(nursery: trio.Nursery) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lines = LineWriter(writer)
    await begin(lines, nursery)
    lines.write("to nobody")
    lines.write("to nobody either")
    with trio.fail_after(5):
        while lines.dropped < 2:  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.01)
    os.close(writer)


async def test_what_can_not_be_asked_not_to_wait_has_a_thread(
    pipe: tuple[int, int], nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "not here")  # as ext4 does

    monkeypatch.setattr(os, "pwritev", refuse)
    lines = LineWriter(pipe[1])
    await begin(lines, nursery)
    lines.write("first")
    assert await read_some(pipe[0], 1) == [b"first"]
    lines.write("second")
    assert await read_some(pipe[0], 1) == [b"second"]
    assert lines._thread is not None
    lines.close(10)


async def test_without_pwritev2_there_is_a_thread(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_writer, "NOWAIT", 0)
    lines = LineWriter(pipe[1])
    await write_from_loop(lines)
    lines.write("written")
    assert await read_some(pipe[0], 1) == [b"written"]
    lines.close(10)


async def test_one_beside_is_written_by_the_same_loop(pipe: tuple[int, int], nursery: trio.Nursery) -> None:
    reader, writer = os.pipe()
    lines = LineWriter(pipe[1])
    before = lines.beside(writer)
    await begin(lines, nursery)
    after = lines.beside(writer)
    lines.write("here")
    before.write("there")
    after.write("there too")
    assert await read_some(pipe[0], 1) == [b"here"]
    assert sorted(await read_some(reader, 2)) == [b"there", b"there too"]
    assert lines._thread is None
    os.close(reader)
    os.close(writer)


async def test_a_line_of_another_thread_wakes_the_loop(pipe: tuple[int, int], nursery: trio.Nursery) -> None:
    lines = LineWriter(pipe[1])
    await begin(lines, nursery)
    await trio.to_thread.run_sync(lines.write, "from elsewhere")
    assert await read_some(pipe[0], 1) == [b"from elsewhere"]
    assert lines._thread is None


async def test_lines_that_the_loop_has_left_are_written_when_it_closes(pipe: tuple[int, int]) -> None:
    lines = LineWriter(pipe[1])
    async with trio.open_nursery() as nursery:
        await begin(lines, nursery)
        lines.write("last words")
        nursery.cancel_scope.cancel()
    lines.write("very last words")
    lines.close(10)
    assert read_lines(pipe[0], 2) == [b"last words", b"very last words"]


async def test_many_lines_at_once_let_other_tasks_run_in_between(nursery: trio.Nursery) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    lines = LineWriter(nowhere)
    await begin(lines, nursery)
    for _ in range(1000):
        lines.write("x" * 4000)  # one in each write
    steps = 0
    with trio.fail_after(5):
        while lines._lines:
            await trio.sleep(0.001)
            steps += len(lines._lines) not in (0, 1000)
    assert steps > 5
    assert lines._thread is None
    os.close(nowhere)


async def test_a_writer_that_has_begun_with_its_thread_goes_on_with_it(
    pipe: tuple[int, int], nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_loop: list[int] = []

    def refuse(fd: int, *_: object) -> int:
        by_loop.append(fd)
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "pwritev", refuse)
    lines = LineWriter(pipe[1])
    lines.write("early")
    await begin(lines, nursery)
    assert await read_some(pipe[0], 1) == [b"early"]
    sent = [f"{number}" for number in range(2000)]
    for line in sent:
        lines.write(line)
    assert [line.decode() for line in await read_some(pipe[0], 2000)] == sent
    assert not by_loop
    lines.close(10)


def test_last_words_need_no_trio_when_the_loop_is_left(pipe: tuple[int, int]) -> None:
    def wake() -> None:
        raise RuntimeError("must be called from async context")  # as Trio does when it has failed

    lines = LineWriter(pipe[1])
    lines.enter_loop(wake)
    lines.leave_loop()
    lines.write("last words")
    lines.close()
    assert read_lines(pipe[0], 1) == [b"last words"]
