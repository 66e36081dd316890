"""The workers, by the board."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from splicer.admin.status import worker_rows
from splicer.ipc.board import Board, Column
from tests.admin.rig import Rig, rig


def show(board: Board, row: int, slot: int, **values: int) -> None:
    for name, value in {"SLOT": slot, **values}.items():
        board.row(row)[Column[name]] = value


def rows(admin: Rig) -> list[dict[str, Any]]:
    return worker_rows(admin.board, admin.workers)


async def test_a_worker_is_what_its_row_and_its_introduction_say() -> None:
    async with rig(None) as admin:
        admin.worker(1, mover="native")
        show(admin.board, 255, 1, TUNNELS=7, EXCHANGES=3, ACCEPTED=100, READING=4, WRITING=5, WAITING=6)
        show(admin.board, 1, 2)
        show(admin.board, 2, 0, BEAT=7, TUNNELS=9)  # the spare
        assert rows(admin) == [
            {"slot": 1, "pid": 1001, "tunnels": 7, "exchanges": 3, "connections": 15, "mover": "native"},
            {"slot": 2, "tunnels": 0, "exchanges": 0, "connections": 0},
        ]


async def test_no_pid_is_told_while_a_slot_has_two_processes() -> None:
    async with rig(None) as admin:
        admin.worker(1)
        show(admin.board, 1, 1)
        show(admin.board, 2, 1)
        assert [worker.get("pid") for worker in rows(admin)] == [None, None]
        show(admin.board, 2, 0)
        admin.worker(1)
        assert "pid" not in rows(admin)[0]


async def test_a_mover_is_told_while_the_processes_of_a_slot_have_the_same() -> None:
    async with rig(None) as admin:
        show(admin.board, 1, 1)
        told = []
        for mover in ("", "native", "native", "python"):
            admin.worker(1, mover=mover)
            told.append(rows(admin)[0].get("mover"))
    assert told == [None, "native", "native", None]


class _Nobody:
    pids: dict[int, list[int]] = {}  # noqa: RUF012 - nobody is ever introduced
    movers: tuple[tuple[int, str], ...] = ()


@given(st.dictionaries(st.integers(1, 255), st.tuples(st.integers(0, 128), st.integers(0, 1000)), max_size=20))
def test_no_tunnel_of_a_slot_is_lost_and_slots_are_in_order(known: dict[int, tuple[int, int]]) -> None:
    board = Board()
    try:
        for row, (slot, tunnels) in known.items():
            show(board, row, slot, TUNNELS=tunnels)
        told = worker_rows(board, _Nobody())  # type: ignore[arg-type]  # the board alone matters
    finally:
        board.close()
    expected = sorted((slot, tunnels) for slot, tunnels in known.values() if slot)
    assert sorted((worker["slot"], worker["tunnels"]) for worker in told) == expected
    assert [worker["slot"] for worker in told] == [slot for slot, _ in expected]
