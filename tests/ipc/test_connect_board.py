"""The outcomes of connects: who hears what of whom, and what is left of a worker that has died."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc.connect_board import RING, ConnectBoard, ConnectEvent, Outcome

ROWS = 4


@define
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def board() -> Iterator[ConnectBoard]:
    board = ConnectBoard(ROWS)
    yield board
    os.close(board.fd)


def test_every_other_worker_hears_it_once_and_how_old_it_is(board: ConnectBoard) -> None:
    clock = Clock()
    one, two, three = (board.row(number, clock) for number in (1, 2, 3))
    one.tell(-7, Outcome.SILENT)
    clock.now += 2.5
    two.tell(8, Outcome.FAILED)
    two.tell(8, Outcome.CONNECTED)
    assert one.news() == [ConnectEvent(8, Outcome.CONNECTED, 0), ConnectEvent(8, Outcome.FAILED, 0)]
    assert two.news() == [ConnectEvent(-7, Outcome.SILENT, 2.5)]
    assert three.news()[0] == ConnectEvent(-7, Outcome.SILENT, 2.5)
    assert (one.news(), two.news(), three.news()) == ([], [], [])


def test_another_process_sees_it(board: ConnectBoard) -> None:
    board.row(1).tell(7, Outcome.FAILED)
    other = ConnectBoard(ROWS, os.dup(board.fd))
    assert [event.key for event in other.row(2).news()] == [7]
    os.close(other.fd)


def test_the_next_owner_of_a_row_knows_what_those_before_it_found_out(board: ConnectBoard) -> None:
    board.row(1).tell(7, Outcome.FAILED)
    successor = board.row(1)
    successor.tell(8, Outcome.FAILED)
    assert [event.key for event in successor.news()] == [7]
    assert [event.key for event in board.row(2).news()] == [7, 8]


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.booleans()), max_size=3 * RING))
def test_who_looks_often_enough_misses_nothing_and_who_does_not_has_the_newest(steps: list[tuple[int, bool]]) -> None:
    """Each step: a row says the step's number, and whether the reader looks then."""
    board, clock = ConnectBoard(ROWS), Clock()
    rows = {number: board.row(number, clock) for number in (1, 2, 3)}
    reader, heard, told = board.row(0, clock), list[int](), list[tuple[int, int]]()
    try:
        for key, (number, looks) in enumerate(steps, start=1):
            clock.now += 1
            rows[number].tell(key, Outcome.FAILED)
            told.append((number, key))
            if looks:
                heard += [event.key for event in reader.news()]
        heard += [event.key for event in reader.news()]
        assert heard == sorted(set(heard))
        for number in (1, 2, 3):
            assert {key for row, key in told if row == number} - set(heard) <= {
                key for row, key in told[:-RING] if row == number
            }
        if all(looks for _, looks in steps):
            assert heard == [key for _, key in told]
    finally:
        os.close(board.fd)
