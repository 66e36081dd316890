"""The counts by route: who sees what of whom, while files differ and processes die."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc.board import Board
from splicer.ipc.route_board import MOST_ROUTES, RouteBoard

ROWS = 4
NAMES = ["a", "b", "calls", "é"]


@pytest.fixture
def board() -> Iterator[RouteBoard]:
    board = RouteBoard(ROWS)
    yield board
    os.close(board.fd)


def test_others_are_all_rows_but_ones_own(board: RouteBoard) -> None:
    for number, count in ((1, 5), (2, 20), (3, 300)):
        board.row(number).publish({"calls": count, "other": 9})
    assert [board.others(number, "calls") for number in range(ROWS)] == [325, 320, 305, 25]
    assert board.others(0, "nobody's") == 0


def test_another_process_sees_a_count_at_once(board: RouteBoard) -> None:
    row = board.row(1)
    row.publish({"calls": 1})
    other = RouteBoard(ROWS, os.dup(board.fd))
    assert other.others(2, "calls") == 1
    row.tell("calls", 2)
    assert other.others(2, "calls") == 2
    other.row(2).publish({"calls": 7})
    assert board.others(1, "calls") == 7
    os.close(other.fd)


def test_a_route_without_a_limit_is_not_published(board: RouteBoard) -> None:
    row = board.row(1)
    row.tell("calls", 3)
    assert board.others(2, "calls") == 0
    row.publish({"calls": 3})
    row.publish({})
    row.tell("calls", 4)
    assert board.others(2, "calls") == 0


def test_two_workers_with_different_files_find_each_others_routes(board: RouteBoard) -> None:
    board.row(1).publish({"a": 1, "calls": 2})
    board.row(2).publish({"calls": 3, "b": 4})
    assert (board.others(1, "calls"), board.others(2, "calls")) == (3, 2)
    assert (board.others(1, "b"), board.others(2, "a")) == (4, 1)


def test_there_is_room_for_as_many_routes_as_a_file_may_have(board: RouteBoard) -> None:
    row = board.row(1)
    for half in (range(MOST_ROUTES), range(MOST_ROUTES // 2, MOST_ROUTES + MOST_ROUTES // 2)):
        row.publish({f"route {number}": number for number in half})
        assert [board.others(2, f"route {number}") for number in half] == list(half)
    assert board.others(2, "route 0") == 0


def test_of_the_dead_nothing_stays(board: RouteBoard) -> None:
    board.row(1).publish({"calls": 5, "a": 6})
    board.row(3).publish({"calls": 7})
    board.clear(1)
    board.clear(2)
    assert (board.others(0, "calls"), board.others(0, "a")) == (7, 0)
    board.row(1).publish({"a": 1})  # the row's next owner
    assert (board.others(0, "calls"), board.others(0, "a")) == (7, 1)


def test_the_board_clears_both() -> None:
    board = Board()
    board.routes.row(3).publish({"calls": 5})
    board.clear(3)
    assert board.routes.others(1, "calls") == 0
    board.close()


counts = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9))
steps = st.lists(
    st.tuples(st.integers(0, ROWS - 1), counts | st.tuples(st.sampled_from(NAMES), st.integers(0, 9)) | st.none()),
    max_size=20,
)


@given(steps)
def test_the_rows_say_what_their_owners_have_said_last(
    steps: list[tuple[int, dict[str, int] | tuple[str, int] | None]],
) -> None:
    board = RouteBoard(ROWS)
    rows = [board.row(number) for number in range(ROWS)]
    said: list[dict[str, int]] = [{} for _ in range(ROWS)]
    for number, step in steps:
        match step:
            case None:  # it dies, and another process gets the row
                board.clear(number)
                rows[number], said[number] = board.row(number), {}
            case dict():
                rows[number].publish(step)
                said[number] = step
            case name, count:
                rows[number].tell(name, count)
                if name in said[number]:
                    said[number] = {**said[number], name: count}
    for number in range(ROWS):
        for name in NAMES:
            others = [row.get(name, 0) for other, row in enumerate(said) if other != number]
            assert board.others(number, name) == sum(others)
    os.close(board.fd)
