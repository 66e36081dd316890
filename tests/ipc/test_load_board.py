"""The counts by endpoint: who sees what of whom, while tunnels change their worker and processes die."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc.board import Board
from splicer.ipc.load_board import MOST_ENDPOINTS, Elsewhere, LoadBoard, LoadRow

ROWS = 5
READER = ROWS - 1
ONE, TWO = 11, -(2**63)


@pytest.fixture
def board() -> Iterator[LoadBoard]:
    board = LoadBoard(ROWS)
    yield board
    os.close(board.fd)


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time on the monotonic clock."""
    now = [1000.0]
    monkeypatch.setattr("splicer.ipc.load_board.time.monotonic", lambda: now[0])
    return now


def test_others_are_all_rows_but_ones_own(board: LoadBoard) -> None:
    for number, count in ((1, 5), (2, 20), (3, 300)):
        assert board.row(number).tell(ONE, count, 1, 2 * count)
    seen = [board.row(number).others(ONE) for number in range(1, ROWS)]
    assert seen == [(322, 640), (307, 610), (27, 50), (328, 650)]
    assert board.row(1).others(TWO) == (0, 0)


def test_another_process_sees_a_count_at_once(board: LoadBoard) -> None:
    row = board.row(1)
    row.tell(ONE, 1, 0, 0)
    other = LoadBoard(ROWS, os.dup(board.fd))
    reader = other.row(2)
    assert reader.others(ONE) == (1, 0)
    row.tell(ONE, 1, 1, 3)
    row.tell(TWO, 0, 0, 4)
    assert (reader.others(ONE), reader.others(TWO)) == ((2, 3), (0, 4))
    assert reader.all_others() == Elsewhere({ONE: 2, TWO: 0}, {ONE: 3, TWO: 4})
    assert reader.all_others() is None, "nothing has changed"
    reader.tell(ONE, 7, 0, 0)
    assert reader.all_others() is None, "the others' counts have not"
    assert row.others(ONE) == (7, 0)
    os.close(other.fd)


def test_an_endpoint_without_work_has_no_place(board: LoadBoard) -> None:
    row = board.row(1)
    for key in range(1, 3 * MOST_ENDPOINTS):
        assert row.tell(key, 1, 0, 0)
        assert row.tell(key, 0, 0, 0)
    row.tell(ONE, 0, 0, 0)
    assert board.in_use() == []


def test_there_is_room_for_so_many_endpoints_and_for_others_when_they_are_gone(board: LoadBoard) -> None:
    row, reader = board.row(1), board.row(2)
    told = [row.tell(key, key, 0, 0) for key in range(1, MOST_ENDPOINTS + 2)]
    assert told == [True] * MOST_ENDPOINTS + [False]
    assert [reader.others(key)[0] for key in (1, MOST_ENDPOINTS, MOST_ENDPOINTS + 1)] == [1, MOST_ENDPOINTS, 0]
    assert row.tell(7, 0, 0, 0)
    assert row.tell(MOST_ENDPOINTS + 1, 3, 0, 0), "a free place is used again"
    assert (reader.others(7), reader.others(MOST_ENDPOINTS + 1)) == ((0, 0), (3, 0))


def test_bytes_of_two_neighbours_are_no_third_endpoint(board: LoadBoard) -> None:
    row, reader = board.row(1), board.row(2)
    row.tell(0x1122334455667788, 1, 0, 0)
    row.tell(0x2122334455667788, 2, 0, 0)
    between = (0x2122334455667788 << 32 | 0x1122334455667788 >> 32) & (1 << 63) - 1
    assert reader.others(between) == (0, 0)
    assert reader.others(0x2122334455667788) == (2, 0)


# ---- tunnels that change their worker ----


def test_tunnels_of_the_dead_count_until_they_are_adopted(board: LoadBoard, moment: list[float]) -> None:
    dead, heir, reader = board.row(1), board.row(2), board.row(3)
    dead.tell(ONE, 5, 2, 3)
    dead.tell(TWO, 0, 1, 0)
    board.bury(1)
    assert (reader.others(ONE), reader.others(TWO)) == ((5, 0), (0, 0)), "its handshakes and requests died with it"
    for count in range(1, 6):
        heir.tell(ONE, count, 0, 0)
        heir.move(ONE, 1)
        assert reader.others(ONE) == (5, 0)
        assert reader.all_others() == Elsewhere({ONE: 5}, {})
        assert heir.others(ONE) == (5 - count, 0)
    heir.tell(ONE, 4, 0, 0)
    assert reader.others(ONE) == (4, 0)
    moment[0] += 60
    board.tidy()
    assert reader.others(ONE) == (4, 0)


def test_what_is_adopted_before_the_supervisor_knows_of_the_death_counts(board: LoadBoard) -> None:
    dead, heir, reader = board.row(1), board.row(2), board.row(3)
    dead.tell(ONE, 2, 0, 0)
    heir.tell(ONE, 2, 0, 0)
    heir.move(ONE, 2)
    assert reader.others(ONE)[0] >= 2
    board.bury(1)
    assert reader.others(ONE) == (2, 0)


def test_what_nobody_adopts_is_forgotten(board: LoadBoard, moment: list[float]) -> None:
    reader = board.row(3)
    board.row(1).tell(ONE, 5, 0, 0)
    board.bury(1)
    moment[0] += 2
    board.tidy()
    assert reader.others(ONE) == (5, 0)
    moment[0] += 60
    board.tidy()
    assert reader.others(ONE) == (0, 0)
    assert reader.all_others() == Elsewhere({}, {})
    heir = board.row(2)
    heir.tell(ONE, 5, 0, 0)
    heir.move(ONE, 5)  # later than anybody has waited for
    assert reader.others(ONE) == (5, 0)


def test_tunnels_of_another_edge_count_where_they_go_on(board: LoadBoard) -> None:
    heir, reader = board.row(1), board.row(2)
    heir.tell(ONE, 3, 0, 0)
    heir.move(ONE, 3)
    assert reader.others(ONE) == (3, 0)


def test_a_worker_that_leaves_its_tunnels_and_dies_later(board: LoadBoard, moment: list[float]) -> None:
    leaver, heir, reader = board.row(1), board.row(2), board.row(3)
    leaver.tell(ONE, 3, 0, 0)
    leaver.move(ONE, -3)
    leaver.tell(ONE, 0, 0, 0)
    assert reader.others(ONE) == (3, 0)
    heir.tell(ONE, 3, 0, 0)
    heir.move(ONE, 3)
    assert reader.others(ONE) == (3, 0)
    board.bury(1)
    assert reader.others(ONE) == (3, 0)
    moment[0] += 60
    board.tidy()
    heir.tell(ONE, 0, 0, 0)
    assert reader.others(ONE) == (0, 0)


def test_places_that_only_remember_what_has_moved_are_used_again(board: LoadBoard, moment: list[float]) -> None:
    row = board.row(1)
    for key in range(1, MOST_ENDPOINTS + 1):
        row.tell(key, 1, 0, 0)
        row.move(key, 1)
        row.tell(key, 0, 0, 0)
    assert not row.tell(MOST_ENDPOINTS + 1, 1, 0, 0)
    board.row(2).tell(ONE, 1, 0, 0)
    board.bury(2)
    moment[0] += 60
    board.tidy()
    assert row.tell(MOST_ENDPOINTS + 1, 1, 0, 0)


def test_the_next_program_of_the_supervisor_goes_on(board: LoadBoard, moment: list[float]) -> None:
    reader = board.row(3)
    board.row(1).tell(ONE, 2, 0, 0)
    board.bury(1)
    after = LoadBoard(ROWS, os.dup(board.fd))
    after.row(2).tell(ONE, 3, 0, 0)
    after.bury(2)
    assert reader.others(ONE) == (5, 0)
    again = LoadBoard(ROWS, os.dup(board.fd))
    moment[0] += 60
    again.tidy()
    assert reader.others(ONE) == (0, 0)
    for other in (after, again):
        os.close(other.fd)


def test_a_row_goes_on_where_its_object_ended(board: LoadBoard) -> None:
    board.row(1).tell(ONE, 2, 0, 0)
    board.row(1).tell(TWO, 3, 0, 0)
    board.row(1).tell(ONE, 4, 0, 0)
    assert board.row(2).all_others() == Elsewhere({ONE: 4, TWO: 3}, {})


def test_the_board_buries_too() -> None:
    board = Board()
    board.loads.row(3).tell(ONE, 5, 0, 1)
    board.clear(3)
    assert board.loads.row(1).others(ONE) == (5, 0)
    board.close()


KEYS = [ONE, TWO, 3]
WORKERS = range(1, READER)
steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "open", "end", "plain", "answer", "die", "leave", "adopt", "adopt", "forget"]),
        st.sampled_from(WORKERS),
        st.sampled_from(KEYS),
    ),
    max_size=60,
)


class Model:
    """What there is: calls, handshakes and requests of each worker, and tunnels on their way to another one."""

    def __init__(self) -> None:
        self.open = {number: Counter[int]() for number in WORKERS}
        self.asking = {number: Counter[int]() for number in WORKERS}
        self.plain = {number: Counter[int]() for number in WORKERS}
        self.away = Counter[int]()

    def tell(self, row: LoadRow, number: int, key: int) -> None:
        assert row.tell(key, self.open[number][key], self.asking[number][key], self.plain[number][key])


@given(steps)
def test_every_tunnel_counts_once_wherever_it_is(steps: list[tuple[str, int, int]]) -> None:
    board = LoadBoard(ROWS)
    rows, model = [board.row(number) for number in range(ROWS)], Model()
    for step, number, key in steps:
        open_here, asking, plain = model.open[number], model.asking[number], model.plain[number]
        match step:
            case "ask":
                asking[key] += 1
            case "open" if asking[key]:
                asking[key] -= 1
                open_here[key] += 1
            case "end" if open_here[key]:
                open_here[key] -= 1
            case "plain":
                plain[key] += 1
            case "answer" if plain[key]:
                plain[key] -= 1
            case "die":
                board.bury(number)
                rows[number] = board.row(number)
                model.away += open_here
                for counts in (open_here, asking, plain):
                    counts.clear()
            case "leave":
                for left, count in open_here.items():
                    if count:
                        rows[number].move(left, -count)
                        rows[number].tell(left, 0, asking[left], plain[left])
                model.away += open_here
                open_here.clear()
            case "adopt" if model.away[key]:
                model.away[key] -= 1
                open_here[key] += 1
                model.tell(rows[number], number, key)
                rows[number].move(key, 1)
            case "forget" if board._buried is not None:
                board._buried = float("-inf")
                board.tidy()
                model.away.clear()  # what is adopted after that is no concern of this test
        model.tell(rows[number], number, key)
        for one in KEYS:
            calls = model.away[one] + sum(model.open[n][one] + model.asking[n][one] for n in WORKERS)
            requests = sum(model.plain[n][one] for n in WORKERS)
            assert rows[READER].others(one) == (calls, requests)
            rows[READER]._seen = []
            everywhere = rows[READER].all_others() or Elsewhere({}, {})
            assert (everywhere.calls.get(one, 0), everywhere.requests.get(one, 0)) == (calls, requests)
            own = model.open[number][one] + model.asking[number][one]
            assert rows[number].others(one) == (calls - own, requests - model.plain[number][one])
    os.close(board.fd)
