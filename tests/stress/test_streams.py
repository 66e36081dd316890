"""A stream notices whatever is not its next byte, and knows what it is instead."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stress.report import Kind
from tests.stress.streams import LARGEST, End, Flow, explain

_CHANCE = 8  # bytes that may happen to be equal


class _Judged:
    """A flow, and what it told."""

    def __init__(self, name: str = "it") -> None:
        self.told: list[tuple[Kind, str]] = []
        self.flow = Flow.of(name, name, lambda kind, detail: self.told.append((kind, detail)))

    def send(self, size: int) -> bytes:
        data = bytes(self.flow.ahead(size))
        self.flow.took(size)
        return data

    def take(self, data: bytes, cuts: list[int]) -> None:
        places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
        for start, end in pairwise(places):
            self.flow.take(memoryview(data)[start:end])


_CUTS = st.lists(st.integers(0, 1 << 20), max_size=8)
_SIZE = st.integers(1, LARGEST)


@given(st.lists(_SIZE, min_size=1, max_size=100), _CUTS)
def test_right_bytes_are_right_in_any_pieces(sizes: list[int], cuts: list[int]) -> None:
    it = _Judged()
    for size in sizes:  # over the end of the block as well
        it.take(it.send(size), cuts)
    it.flow.finish(End.EOF)
    it.flow.ends(End.EOF)
    assert not it.told
    assert it.flow.received == sum(sizes)


@given(_SIZE, st.integers(0), st.integers(1, 70_000), _CUTS)
def test_lost_bytes(size: int, where: int, count: int, cuts: list[int]) -> None:
    it = _Judged()
    data = it.send(size)
    where %= size
    it.take(data[:where] + data[where + count :], cuts)
    it.flow.finish(End.EOF)
    it.flow.ends(End.EOF)
    assert it.told[0][0] in (Kind.WRONG, Kind.LOST)
    assert (it.told[0][0] is Kind.LOST) == (where + count >= size)
    if it.flow.wrong:
        assert where <= it.flow.wrong.offset <= where + _CHANCE
        if len(it.flow.wrong.sample) > _CHANCE:
            assert explain(it.flow, []).endswith(f" {count} bytes are lost")


@given(_SIZE, st.integers(0), st.integers(1, 70_000), _CUTS)
def test_bytes_that_come_twice(size: int, where: int, count: int, cuts: list[int]) -> None:
    it = _Judged()
    data = it.send(size)
    where = where % size + 1
    count = min(count, where)
    doubled = data[:where] + data[where - count :]
    it.take(doubled[:LARGEST], cuts)
    it.take(doubled[LARGEST:], cuts)
    assert it.told[0][0] is Kind.WRONG
    assert it.flow.wrong
    assert where <= it.flow.wrong.offset <= where + _CHANCE
    if where < it.flow.wrong.offset + _CHANCE < size and len(it.flow.wrong.sample) >= _CHANCE:
        assert explain(it.flow, []).endswith(f" {count} bytes came twice")


@given(_SIZE, st.integers(0), st.integers(0, 7), _CUTS)
def test_a_bit(size: int, where: int, bit: int, cuts: list[int]) -> None:
    it = _Judged()
    data = bytearray(it.send(size))
    data[where % size] ^= 1 << bit
    it.take(bytes(data), cuts)
    assert it.flow.wrong
    assert it.flow.wrong.offset == where % size


@given(st.integers(100, LARGEST), st.integers(0, 10_000), st.integers(16, 200), _CUTS)
def test_bytes_of_another_stream(size: int, where: int, count: int, cuts: list[int]) -> None:
    it, other, third = _Judged("it"), _Judged("other"), _Judged("third")
    data, foreign = it.send(size), other.send(20_000)
    third.send(20_000)
    it.take((data[: size // 2] + foreign[where : where + count] + data[size // 2 :])[:LARGEST], [])
    assert it.flow.wrong
    told = explain(it.flow, [third.flow, it.flow, other.flow])
    assert told.startswith(f"it: at byte {it.flow.wrong.offset}: ")
    if len(it.flow.wrong.sample) <= count:
        skipped = it.flow.wrong.offset - size // 2
        assert told.endswith(f"bytes of other from its byte {where + skipped} on")


def test_the_longest_gap_of_each_window() -> None:
    it = _Judged()
    data = it.send(100)
    time.sleep(0.02)
    assert it.flow.begin_window() >= 0.02
    it.take(data, [])
    assert it.flow.begin_window() > 0
    assert it.flow.begin_window() == 0.0
    it.send(1)
    time.sleep(0.02)
    it.flow.pause()
    assert it.flow.begin_window() >= 0.02


@pytest.mark.parametrize(
    ("finished", "seen", "fault"),
    [
        (End.EOF, End.EOF, False),
        (End.EOF, End.RESET, True),
        (End.RESET, End.EOF, False),
        (End.RESET, End.RESET, False),
        (None, End.EOF, True),
        (None, End.RESET, True),
    ],
)
def test_ends(finished: End | None, seen: End, fault: bool) -> None:
    it = _Judged()
    it.take(it.send(100), [])
    if finished:
        it.flow.finish(finished)
    it.flow.ends(seen)
    assert [kind for kind, _ in it.told] == [Kind.LOST] * fault
