from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from pathlib import Path

import pytest

from splicer.ipc import wire
from splicer.ipc.board import COUNTS, Board, Column
from splicer.ipc.codec import to_json, to_object
from splicer.ipc.facts import EdgeFacts
from splicer.ipc.messages import (
    Absent,
    AdminOrder,
    Config,
    Facts,
    IntroduceWorker,
    ServeAdmin,
    Stop,
    WantDrains,
)
from splicer.ipc.queries import AskTunnels, Question, TunnelRows
from splicer.supervisor.launch import SIGNALS
from tests.admin.conftest import Admin, running
from tests.admin.rig import CONFIG, tunnel
from tests.kit.driven import OWN, TIMEOUT


def _beat_goes_on(admin: Admin) -> None:
    row = admin.board.row(OWN)
    first, end = row[Column.BEAT], time.monotonic() + TIMEOUT
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
        sock.settimeout(TIMEOUT)
        assert sock.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_stop_ends_it(serving: Admin) -> None:
    with serving.connect():
        serving.tell(Stop())
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


def test_the_board_is_shown(serving: Admin) -> None:
    _write(serving.board, 255, SLOT=1, TUNNELS=7, ACCEPTED=1, WAITING=1)
    answer, body = serving.ask("GET", "/status")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    status = json.loads(body)
    assert (status["remaining"], status["totals"]["accepted"]) == (7, 1)
    assert status["workers"] == [{"slot": 1, "tunnels": 7, "exchanges": 0, "connections": 1}]


# The supervisor is this process here: older than what it has started, younger than the machine.
def test_uptime_is_the_supervisors(serving: Admin) -> None:
    uptime = json.loads(serving.ask("GET", "/status")[1])["uptime_s"]
    assert time.monotonic() - serving.started + 0.05 < uptime < time.clock_gettime(time.CLOCK_BOOTTIME) - 1


def test_the_newest_facts_are_told(serving: Admin) -> None:
    before = json.loads(serving.ask("GET", "/status")[1])
    assert (before["generation"], before["draining"]) == (0, False)
    serving.tell(Facts(EdgeFacts(generation=1)))
    serving.tell(Facts(EdgeFacts(generation=1, draining=True)))
    end = time.monotonic() + TIMEOUT
    while not (after := json.loads(serving.ask("GET", "/status")[1]))["draining"]:
        assert time.monotonic() < end, "the facts are not taken in"
    assert after["generation"] == 1


# Its own clients are no part of the edge's numbers.
def test_its_own_row_is_no_workers(serving: Admin) -> None:
    _beat_goes_on(serving)
    assert json.loads(serving.ask("GET", "/status")[1])["workers"] == []
    assert not any(serving.board.row(OWN)[COUNTS])


def test_the_configuration_that_it_is_given(serving: Admin) -> None:
    serving.configure(CONFIG)
    config = json.loads(serving.ask("GET", "/config")[1])
    assert config["upstreams"]["pod"]["address"] == "{pod}.pods.test:8000"
    serving.configure(CONFIG.replace("pods.test", "others.test"))
    end = time.monotonic() + TIMEOUT
    while (config := json.loads(serving.ask("GET", "/config")[1]))["upstreams"]["pod"]["address"].count("pods"):
        assert time.monotonic() < end, "the new one is not put in force"
    assert config["upstreams"]["pod"]["address"] == "{pod}.others.test:8000"


def test_the_workers_that_it_is_introduced_to(serving: Admin) -> None:
    _write(serving.board, 3, SLOT=2)
    with serving.introduce(2, 4711) as channel, serving.connect() as client:
        client.sendall(b"GET /tunnels HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert select.select([channel], [], [], TIMEOUT)[0]
        heard = wire.receive(channel, Question)
        assert heard is not None
        assert isinstance(heard.message, AskTunnels)
        wire.send(channel, TunnelRows(heard.message.request, more=False, rows=(tunnel("a"),)))
        _, _, body = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
        assert json.loads(body)["missing_workers"] == []
        assert [row["id"] for row in json.loads(body)["tunnels"]] == ["a"]
        assert json.loads(serving.ask("GET", "/status")[1])["workers"][0]["pid"] == 4711


def test_the_supervisor_is_told_what_to_drain() -> None:
    with running(logs='"event": "operator"') as serving:
        serving.serve()
        with serving.connect() as client:
            client.sendall(b"POST /drain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            heard = serving.hear()
            assert isinstance(heard, WantDrains)
            serving.tell(Facts(EdgeFacts(drains=heard.drains)))
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        status = json.loads(serving.ask("GET", "/status")[1])
        assert (status["draining"], [drain["scope"] for drain in status["drains"]]) == (True, ["all"])


def test_the_scrapers_address_has_two_pages_for_whoever_asks(serving: Admin) -> None:
    def status(method: str, path: str) -> int:
        return serving.ask(method, path, of=serving.for_scraper.getsockname(), Host="metrics.example")[0].status

    assert [status("GET", path) for path in ("/metrics", "/healthz")] == [200, 200]
    for path in ("/", "/status", "/tunnels", "/tunnels/a", "/drain", "/config", "/upstreams", "/explain"):
        assert [status(method, path) for method in ("GET", "POST", "DELETE")] == [404] * 3, path
    assert status("POST", "/metrics") == 405
    text = serving.ask("GET", "/metrics")[1].decode()
    assert "splicer_connections_active 0.0\n" in text


# Nothing of it is worth keeping, and the supervisor sends all anew to the next one.
@pytest.mark.parametrize("order", [ServeAdmin(1, EdgeFacts(), {"admin": 1}), Config(), IntroduceWorker(1, 1)])
def test_it_ends_when_a_descriptor_gets_lost(order: AdminOrder) -> None:
    with running(logs='"event": "no_descriptor"') as admin:
        if not isinstance(order, ServeAdmin):
            admin.serve()
        raw = {"version": wire.VERSION, "kind": order.KIND, "fds": 1, **to_object(order)}
        admin.control.send(to_json(raw).encode())
        assert admin.wait() == 1


def test_an_order_that_it_does_not_know_is_ignored(serving: Admin) -> None:
    open_before = _descriptors(serving)
    for _ in range(20):
        data = json.dumps({"version": wire.VERSION, "kind": "dance", "fds": 1}).encode()
        socket.send_fds(serving.control, [data], [serving.control.fileno()])
    serving.tell(Facts(EdgeFacts(generation=7)))
    end = time.monotonic() + TIMEOUT
    while json.loads(serving.ask("GET", "/status")[1])["generation"] != 7:
        assert time.monotonic() < end, "it does not go on"
    assert _descriptors(serving) < open_before + 20


def _descriptors(admin: Admin) -> int:
    return len(list(Path(f"/proc/{admin.pid}/fd").iterdir()))


def test_it_asks_for_the_channel_of_a_worker_that_has_none(serving: Admin) -> None:
    serving.board.row(3)[Column.SLOT] = 2
    assert serving.hear() == Absent((2,))


def test_it_counts_nothing_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "nowhere"))
    with running() as admin:
        admin.serve()
        assert admin.ask("GET", "/metrics")[0].status == 200
