from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from splicer import __version__
from splicer.control.board import COUNTS, Board, Column
from splicer.supervisor.launch import SIGNALS
from tests.admin.conftest import OWN, PATIENCE, Admin


def _beat_goes_on(admin: Admin) -> None:
    row = admin.board.row(OWN)
    first, end = row[Column.BEAT], time.monotonic() + PATIENCE
    while row[Column.BEAT] < first + 2:
        assert time.monotonic() < end, "its heart stands still"
        time.sleep(0.01)


def _write(board: Board, number: int, **values: int) -> None:
    for name, value in values.items():
        board.row(number)[Column[name]] = value


def test_its_title_and_its_heart(admin: Admin) -> None:
    command = Path(f"/proc/{admin.pid}/cmdline").read_bytes()
    assert command.strip(b"\0") == b"splicer: admin"
    _beat_goes_on(admin)


def test_nobody_is_served_before_the_order_to(admin: Admin) -> None:
    with admin.connect() as sock:  # the kernel takes it: it stays in the accept queue
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _beat_goes_on(admin)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        admin.serve()
        sock.settimeout(PATIENCE)
        assert sock.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_stop_ends_it(serving: Admin) -> None:
    with serving.connect():
        serving.tell("stop")
        assert serving.wait() == 0


def test_the_end_of_the_supervisor_ends_it(serving: Admin) -> None:
    with serving.connect():
        serving.control.close()
        assert serving.wait() == 0


def test_the_end_of_the_supervisor_ends_one_that_has_not_begun(admin: Admin) -> None:
    admin.control.close()
    assert admin.wait() == 0


def test_signals_are_the_supervisors_affair(serving: Admin) -> None:
    for signum in SIGNALS:
        os.kill(serving.pid, signum)
    _beat_goes_on(serving)
    assert serving.ask("GET", "/healthz")[1] == b"ok\n"


# The supervisor blocks its own signals, and a mask is inherited; /proc/PID/status has one bit a signal.
def test_no_signal_stays_blocked(serving: Admin) -> None:
    status = Path(f"/proc/{serving.pid}/status").read_text()
    assert int(status.split("SigBlk:")[1].split()[0], 16) == 0


def test_another_takes_the_place_of_a_killed_one(serving: Admin) -> None:
    os.kill(serving.pid, signal.SIGKILL)
    assert serving.wait() == -signal.SIGKILL
    with serving.connect() as waiting:  # the listener is the supervisor's
        waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        other = Admin()
        try:
            other.listener.close()
            other.listener = serving.listener
            assert other.hear() is not None
            other.serve()
            assert waiting.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        finally:
            other.close()


def test_status(admin: Admin) -> None:
    admin.serve(generation=3)
    _write(admin.board, 0, ACCEPTED=1000, HANDLED=999, REQUESTS=5000)  # of the dead
    _write(admin.board, 1, SLOT=2, TUNNELS=2, EXCHANGES=3, ACCEPTED=10, HANDLED=9, REQUESTS=50)
    _write(admin.board, 1, READING=4, WRITING=5, WAITING=6)
    _write(admin.board, 2, BEAT=7)  # the spare
    _write(admin.board, 255, SLOT=1, TUNNELS=7, ACCEPTED=1, WAITING=1)
    answer, body = admin.ask("GET", "/status")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    status = json.loads(body)
    del status["uptime_s"]
    assert status == {
        "version": __version__,
        "generation": 3,
        "draining": False,
        "workers": [
            {"slot": 1, "tunnels": 7, "exchanges": 0, "connections": 1},
            {"slot": 2, "tunnels": 2, "exchanges": 3, "connections": 15},
        ],
        "totals": {"accepted": 1011, "handled": 1008, "requests": 5050, "active": 16, "tunnels": 9},
    }


# The supervisor is this process here: older than what it has started, younger than the machine.
def test_uptime_is_the_supervisors(serving: Admin) -> None:
    uptime = json.loads(serving.ask("GET", "/status")[1])["uptime_s"]
    assert time.monotonic() - serving.started + 0.05 < uptime < time.clock_gettime(time.CLOCK_BOOTTIME) - 1


def test_the_newest_facts_are_told(serving: Admin) -> None:
    before = json.loads(serving.ask("GET", "/status")[1])
    assert (before["generation"], before["draining"]) == (0, False)
    serving.tell("facts", generation=1)
    serving.tell("facts", draining=True)
    end = time.monotonic() + PATIENCE
    while not (after := json.loads(serving.ask("GET", "/status")[1]))["draining"]:
        assert time.monotonic() < end, "the facts are not taken in"
    assert after["generation"] == 1


# Its own clients are no part of the edge's numbers.
def test_its_own_row_is_no_workers(serving: Admin) -> None:
    _beat_goes_on(serving)
    assert json.loads(serving.ask("GET", "/status")[1])["workers"] == []
    assert not any(serving.board.row(OWN)[COUNTS])
