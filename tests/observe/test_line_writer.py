"""The writer of log lines: all of them, whole and in order, or counted; and nobody waits for it."""

from __future__ import annotations

import os
import select
import threading
import time

import pytest

from splicer.observe.line_writer import LineWriter


def read_lines(fd: int, count: int) -> list[bytes]:
    data = b""
    while data.count(b"\n") < count:
        assert select.select([fd], [], [], 10)[0], "nobody writes"
        data += os.read(fd, 1 << 16)
    return data.splitlines()


def fill(fd: int) -> int:
    """Fill a pipe that nobody reads; how many bytes it took."""
    os.set_blocking(fd, False)
    filled = 0
    try:
        while True:
            filled += os.write(fd, b"x" * 4096)
    except BlockingIOError:
        return filled
    finally:
        os.set_blocking(fd, True)


def test_lines_come_whole_and_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = LineWriter(writer)
    sent = [f"{number} {'ä' * (number % 70)}" for number in range(3000)]
    for line in sent:
        lines.write(line)
    assert [line.decode() for line in read_lines(reader, len(sent))] == sent
    lines.close()
    assert lines.dropped == 0


def test_what_is_queued_is_written_when_it_closes(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    for _ in range(50):
        lines = LineWriter(writer)
        lines.write("last words")
        lines.close(10)
        assert read_lines(reader, 1) == [b"last words"]


def test_one_for_another_descriptor_is_closed_with_it(pipe: tuple[int, int]) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as other_end, open(writer, "wb") as other:  # noqa: PTH123  # descriptors
        lines = LineWriter(pipe[1])
        beside = lines.beside(other.fileno())
        lines.write("here")
        beside.write("there")
        lines.close(10)
        assert read_lines(pipe[0], 1) == [b"here"]
        assert read_lines(other_end.fileno(), 1) == [b"there"]


def test_what_both_lose_is_counted_at_one_place(pipe: tuple[int, int]) -> None:
    lost: list[int] = []
    lines = LineWriter(pipe[1], capacity=0, lost=lost.append)
    beside = lines.beside(pipe[1])
    lines.write("x")
    beside.write("x")
    assert lost == [1, 1]
    lines.close(10)


@pytest.mark.parametrize("at", [1, 2])
def test_nothing_is_forgotten_between_the_last_line_and_the_close(pipe: tuple[int, int], at: int) -> None:
    """A line and the close arrive at the very moment at which the thread looks whether all is over."""

    class Late(LineWriter):
        looks = 0
        over = False

        @property
        def _closing(self) -> bool:
            if threading.current_thread().name == "log":
                self.looks += 1
                if self.looks == at:
                    self.write("last words")
                    self.over = True
            return self.over

        @_closing.setter
        def _closing(self, value: bool) -> None:
            self.over = value

    reader, writer = pipe
    lines = Late(writer)
    lines.write("first")
    assert lines._thread is not None
    lines._thread.join(10)
    assert not lines._thread.is_alive()
    assert os.read(reader, 4096) == b"first\nlast words\n"


def test_a_reader_that_stops_holds_up_nobody(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    filled = fill(writer)
    lines = LineWriter(writer, capacity=10)
    for number in range(1000):
        lines.write(str(number))
    assert 988 <= lines.dropped <= 990
    lines.close(0.01)
    dropped = lines.dropped
    left = filled
    while left:
        left -= len(os.read(reader, left))
    assert lines._thread is not None
    lines._thread.join(10)
    kept = 1000 - dropped
    assert read_lines(reader, kept) == [str(number).encode() for number in range(kept)]


def test_a_reader_that_leaves_is_counted(pipe: tuple[int, int]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lines = LineWriter(writer)
    for _ in range(5):
        lines.write("nobody hears this")
    lines.close(10)
    assert lines.dropped == 5
    os.close(writer)


def test_a_descriptor_may_be_non_blocking(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    lines = LineWriter(writer)
    sent = [f"{number} {'x' * 100}" for number in range(2000)]  # more than a pipe holds
    for line in sent:
        lines.write(line)
    assert [line.decode() for line in read_lines(reader, len(sent))] == sent
    lines.close()


def test_a_descriptor_may_take_less_than_it_is_given(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = pipe
    write = os.write
    monkeypatch.setattr("splicer.observe.line_writer.os.write", lambda fd, data: write(fd, data[:7]))
    lines = LineWriter(writer)
    for _ in range(3):
        lines.write("a line of more than seven bytes")
    assert read_lines(reader, 3) == [b"a line of more than seven bytes"] * 3
    lines.close()


def test_closing_an_idle_writer_takes_no_time(pipe: tuple[int, int]) -> None:
    lines = LineWriter(pipe[1])
    lines.close(10)
    assert lines._thread is None


def test_no_line_is_longer_than_a_pipe_writes_at_once(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = LineWriter(writer)
    lines.write("x" * 10_000)
    lines.write("\ud800 is no character")
    first, second = read_lines(reader, 2)
    assert len(first) + 1 == 4096
    assert second == b"? is no character"
    lines.close()


def test_who_wants_to_know_is_told_of_each_line_that_is_lost(pipe: tuple[int, int]) -> None:
    fill(pipe[1])
    lost: list[int] = []
    lines = LineWriter(pipe[1], capacity=10, lost=lost.append)
    for number in range(100):
        lines.write(str(number))
    assert sum(lost) == lines.dropped
    assert 88 <= lines.dropped <= 90
    lines.close(0.01)
    os.read(pipe[0], 1 << 20)
    assert lines._thread is not None
    lines._thread.join(10)


def test_lines_that_nobody_reads_are_lost_in_the_writers_thread_and_told_too() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lost: list[tuple[int, str]] = []
    lines = LineWriter(writer, lost=lambda count: lost.append((count, threading.current_thread().name)))
    for _ in range(5):
        lines.write("nobody hears this")
    lines.close(10)
    assert sum(count for count, _ in lost) == lines.dropped == 5
    assert {name for _, name in lost} == {"log"}
    os.close(writer)


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError, SystemExit])
def test_what_ends_the_thread_loses_what_it_had_in_hand_and_nothing_more(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    reader, writer = pipe
    write, told = os.write, list[int]()

    def fails(fd: int, data: bytes) -> int:
        if data.startswith(b"bad"):
            raise kind("a bug")
        return write(fd, data)

    def lost(count: int) -> None:
        told.append(count)
        raise kind("another bug")

    monkeypatch.setattr("splicer.observe.line_writer.os.write", fails)
    lines = LineWriter(writer, lost=lost)
    late = time.monotonic() + 10
    for times in range(1, 4):
        lines.write("bad")
        lines.write("and what goes with it")
        while len(told) < times and time.monotonic() < late:
            time.sleep(0.001)
        lines.write("good")
        assert read_lines(reader, 1) == [b"good"]
    assert (lines.dropped, told) == (6, [2, 2, 2])
    lines.close(10)
    assert lines._thread is not None
    assert not lines._thread.is_alive()


def test_what_is_queued_behind_lines_that_are_lost_is_counted_too() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lines = LineWriter(writer)
    for _ in range(100):
        lines.write("x" * 1000)
    lines.close(10)
    assert lines.dropped == 100
    os.close(writer)
