"""The board: who sees what of whom, and what stays of the dead."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from attrs import astuple, fields

from splicer.ipc.board import COUNTS, ROWS, Board, Column
from splicer.session.context import StubStatus


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.close()


def _fill(board: Board, number: int, *values: int) -> None:
    row = board.row(number)
    for column, value in enumerate(values):
        row[column] = value


def test_its_columns_are_the_sessions_counts() -> None:
    assert [column.name.lower() for column in Column][COUNTS] == [field.name for field in fields(StubStatus)]


def test_a_new_board_is_empty(board: Board) -> None:
    assert all(board.total(column) == 0 for column in Column)
    assert board.others(1) == [0] * len(fields(StubStatus))


def test_another_process_sees_it_at_once(board: Board) -> None:
    other = Board(os.dup(board.fd))
    other.row(7)[Column.TUNNELS] = 3
    assert board.row(7)[Column.TUNNELS] == 3
    board.row(7)[Column.TUNNELS] += 1
    assert other.total(Column.TUNNELS) == 4
    os.close(other.fd)


def test_rows_do_not_touch_each_other(board: Board) -> None:
    for number in range(ROWS):
        board.row(number)[Column.BEAT] = number
        board.row(number)[Column.WAITING] = -number
    assert [board.row(number)[Column.BEAT] for number in range(ROWS)] == list(range(ROWS))
    assert [board.row(number)[Column.WAITING] for number in range(ROWS)] == [-number for number in range(ROWS)]
    assert board.total(Column.BEAT) == sum(range(ROWS))
    assert board.total(Column.TUNNELS) == 0


def test_what_the_others_have_is_all_but_ones_own(board: Board) -> None:
    _fill(board, 1, 9, 9, 9, 1, 2, 3, 4, 5, 6)
    _fill(board, 2, 8, 8, 8, 10, 20, 30, 40, 50, 60)
    _fill(board, ROWS - 1, 7, 7, 7, 100, 200, 300, 400, 500, 600)
    assert board.others(1) == [110, 220, 330, 440, 550, 660]
    assert StubStatus(*board.others(2)) == StubStatus(101, 202, 303, 404, 505, 606)
    assert board.others(3) == [111, 222, 333, 444, 555, 666]


def test_of_the_dead_only_the_totals_stay(board: Board) -> None:
    _fill(board, 1, 9, 9, 9, 1, 2, 3, 4, 5, 6)
    _fill(board, 2, 8, 8, 8, 10, 20, 30, 40, 50, 60)
    board.clear(1)
    assert list(board.row(1)) == [0] * 16
    assert StubStatus(*board.others(1)) == StubStatus(11, 22, 33, 40, 50, 60)
    assert board.total(Column.TUNNELS) == 8
    _fill(board, 1, 1, 1, 1, *astuple(StubStatus(accepted=5, handled=5, requests=5)))
    board.clear(1)
    board.clear(2)
    assert StubStatus(*board.others(1)) == StubStatus(16, 27, 38)
    assert board.total(Column.BEAT) == 0


def test_who_may_ask_for_more_is_of_living_processes(board: Board) -> None:
    board.row(0)[Column.SEEN_TO_CLIENT] = 1000
    board.row(1)[Column.IDLE], board.row(ROWS - 1)[Column.IDLE] = 20, 3
    board.row(2)[Column.READING], board.row(2)[Column.WAITING] = 100, 5
    assert board.asking == 123


@pytest.mark.parametrize("number", [0, 1, ROWS - 1])
def test_a_row_that_was_never_used_may_be_cleared(board: Board, number: int) -> None:
    if number:
        board.clear(number)
    assert not any(board.total(column) for column in Column)


def test_every_column_has_its_place_within_a_row(board: Board) -> None:
    assert sorted(Column) == list(range(16)) == list(range(len(board.row(0))))
    for column in Column:
        board.row(5)[column] = 100 + column
    assert [board.total(column) for column in Column] == [100 + column for column in Column]


def test_of_the_dead_adoptions_are_a_total_and_what_was_so_then_is_not(board: Board) -> None:
    for column in (Column.SLOT, Column.ADOPTED, Column.PIPES_POOLED, Column.PIPES_PARKED, Column.VAULT):
        board.row(4)[column] = 3
    board.row(6)[Column.ADOPTED] = 4
    board.clear(4)
    assert board.total(Column.ADOPTED) == 7
    for column in (Column.SLOT, Column.PIPES_POOLED, Column.PIPES_PARKED, Column.VAULT):
        assert board.total(column) == 0


def test_what_scrapes_have_told_outlives_every_process(board: Board) -> None:
    board.row(0)[Column.SEEN_TO_POD], board.row(0)[Column.SEEN_TO_CLIENT] = 1 << 60, 7
    for number in range(1, ROWS):
        board.clear(number)
    assert (board.total(Column.SEEN_TO_POD), board.total(Column.SEEN_TO_CLIENT)) == (1 << 60, 7)


def test_those_that_accept_are_known_with_their_connections(board: Board) -> None:
    for number, connections in ((1, (1, 2, 3)), (2, (10, 20, 30)), (ROWS - 1, (0, 0, 0)), (4, (9, 9, 9))):
        _fill(board, number, 0, 0, 0, 0, 0, 0, *connections)
    for number in (1, 2, ROWS - 1):
        board.row(number)[Column.LISTENING] = 1
    board.row(0)[Column.SEEN_TO_POD] = 1 << 40  # what the same column says there
    assert board.accepting(1) == [60, 0]
    assert board.accepting(4) == [6, 60, 0]
    board.clear(2)
    assert board.accepting(1) == [0]
