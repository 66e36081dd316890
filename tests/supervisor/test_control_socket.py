"""The control socket in a supervisor whose processes nobody has started: words in, lines out; no client holds it up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc.messages import HandedOver, Reloaded, Serving
from splicer.supervisor import control_socket
from splicer.supervisor.control_socket import MAX_ANSWER_BYTES, ControlSocket, decode, encode
from splicer.supervisor.outcomes import Outcomes, Topic
from splicer.supervisor.state import ControlState
from splicer.supervisor.supervisor import Supervisor
from tests.supervisor.harness import Far, Office

_TIMEOUT = 30.0  # seconds
_NOBODY = 65534


@define
class Door:
    """The control socket of an edge, and those who come to it."""

    room: Office
    path: Path
    supervisor: Supervisor
    stack: ExitStack = field(factory=ExitStack)

    def client(self, word: bytes = b"") -> socket.socket:
        """One that has said this, and the supervisor has taken it in."""
        sock = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        sock.settimeout(_TIMEOUT)
        sock.connect(str(self.path))
        if word:
            sock.sendall(word)
        self.room.turn()
        return sock

    def reload_is_read(self) -> None:
        """Wait for the child that reads the file."""
        while self.supervisor._reload._config_probe.underway:
            for key, events in self.room.selector.select(_TIMEOUT):
                key.data(events)
        self.room.turn()


@pytest.fixture
def worker(room: Office) -> Far:
    room.open(workers=1)
    return room.worker()


@pytest.fixture
def door(room: Office, worker: Far, tmp_path: Path) -> Iterator[Door]:
    path = tmp_path / "control"
    room.edge.control.listen(path)
    worker.pending()
    opened = Door(room, path, Supervisor(room.edge))
    with opened.stack:
        yield opened
        opened.supervisor._reload.close()
        opened.supervisor._upgrade.close()
        room.edge.control.close()


def outcome(sock: socket.socket) -> tuple[bool, list[str]]:
    """What a client hears, until the other end closes."""
    data = b""
    while part := sock.recv(1 << 16):
        data += part
    return decode(data)


def hears_nothing_yet(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        sock.recv(1)
    except BlockingIOError:
        return True
    finally:
        sock.settimeout(_TIMEOUT)
    return False


# ---- commands ----


def test_a_handover_that_is_refused(door: Door) -> None:
    ok, [line] = outcome(door.client(b"handover\n"))
    assert not ok
    assert "--vault" in line


def test_a_recycle_is_over_when_the_new_workers_serve(door: Door, room: Office, worker: Far) -> None:
    room.edge.workers.spares = 1
    client = door.client(b"recycle\n")
    spare = room.worker(serving=False)
    door.supervisor._upgrade.go_on()
    assert worker.pending() == ["retire"]
    worker.send(HandedOver)
    door.supervisor._upgrade.go_on()
    assert hears_nothing_yet(client)
    spare.send(Serving)
    door.supervisor._upgrade.go_on()
    assert outcome(client) == (True, ["recycled: 1 new workers serve"])


def test_a_recycle_whose_new_workers_all_fail_is_told_of(door: Door, room: Office) -> None:
    client = door.client(b"recycle\n")
    room.edge.workers.backoff.failures = 4
    door.supervisor._upgrade.go_on()
    assert hears_nothing_yet(client)
    room.edge.workers.backoff.failures = 5
    door.supervisor._upgrade.go_on()
    ok, lines = outcome(client)
    assert not ok
    assert "worker_died" in lines[0]
    assert door.supervisor._upgrade.underway


_ROUTES = '[server]\nlisten = "127.0.0.1:0"\n[[routes]]\nname = "{0}"\npath = "/x"\nrespond = {{ status = {1} }}\n'


def test_a_reload_is_over_when_the_workers_go_by_it(door: Door, room: Office, worker: Far, tmp_path: Path) -> None:
    room.edge.path = tmp_path / "routing.toml"
    room.edge.path.write_text(_ROUTES.format("new", 200))
    assert room.edge.summary is not None
    room.edge.summary = replace(room.edge.summary, text=_ROUTES.format("old", 200))
    first, second = door.client(b"reload\n"), door.client(b"reload\n")
    door.reload_is_read()
    third = door.client(b"reload\n")
    assert hears_nothing_yet(first)
    worker.send(Reloaded)
    ok, lines = outcome(first)
    assert ok
    assert "reloaded: " in lines[0]
    assert outcome(second) == (ok, lines)
    assert hears_nothing_yet(third)  # another child reads the file for this one
    door.reload_is_read()
    worker.send(Reloaded)
    assert outcome(third) == (True, [f"{room.edge.path}: reloaded: nothing has changed", *lines[1:]])


def test_a_reload_of_a_broken_file_tells_every_fault(door: Door, room: Office, tmp_path: Path) -> None:
    room.edge.path = tmp_path / "routing.toml"
    room.edge.path.write_text(_ROUTES.format("a", 2000) + _ROUTES.partition("[[")[2].format("b", 3000))
    client = door.client(b"reload\n")
    door.reload_is_read()
    ok, lines = outcome(client)
    assert not ok
    assert lines[-1] == f"{room.edge.path}: not reloaded; the old routes stay in force"
    assert [fields["fault"] for fields in room.said.of("reload_fault")] == lines[:-1]


def test_a_command_for_which_no_child_can_be_had(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_child(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", no_child)
    ok, lines = outcome(door.client(b"upgrade\n"))
    assert not ok
    assert "unavailable" in lines[0]
    client = door.client()
    client.sendall(b"reload\n")
    with pytest.raises(OSError, match="unavailable"):  # the loop logs it, as for a signal
        door.room.turn()
    ok, [line] = outcome(client)
    assert not ok
    assert "unavailable" in line


def test_nothing_begins_when_all_ends(door: Door, room: Office) -> None:
    waiting = door.client(b"recycle\n")
    door.supervisor._shutdown.stop()
    assert outcome(waiting) == (False, ["the edge is stopping"])
    assert outcome(door.client(b"reload\n")) == (False, ["the edge is stopping"])


def test_nothing_begins_before_the_file_has_been_read(room: Office, tmp_path: Path) -> None:
    room.edge.control.listen(tmp_path / "control")
    door = Door(room, tmp_path / "control", Supervisor(room.edge))
    with door.stack:
        assert outcome(door.client(b"upgrade\n")) == (False, ["the edge is starting"])
    room.edge.control.close()


# ---- clients ----


@pytest.mark.parametrize("word", [b"fly\n", b"\n", b"reload upgrade\n", b"x" * 65, b"\xff\n", b"reload\nreload\n"])
def test_what_is_no_command_gets_one_line_and_the_end(door: Door, word: bytes) -> None:
    ok, lines = outcome(door.client(word))
    assert (ok, len(lines)) == (False, 1)
    assert not door.room.edge.outcomes.waiting


def test_a_word_may_come_in_pieces(door: Door) -> None:
    client = door.client(b"hand")
    assert hears_nothing_yet(client)
    client.sendall(b"over\n")
    door.room.turn()
    assert "--vault" in outcome(client)[1][0]


def test_one_that_goes_away_is_forgotten(door: Door) -> None:
    for word in (b"", b"recy", b"recycle\n"):
        door.client(word).close()
        door.room.turn()
        assert not door.room.edge.control._clients
    assert not door.room.edge.outcomes.waiting


def test_one_that_says_more_than_its_word_is_dropped(door: Door) -> None:
    client = door.client(b"recycle\n")
    client.sendall(b"recycle\n")
    door.room.turn()
    assert not door.room.edge.outcomes.waiting
    with pytest.raises((ConnectionResetError, ValueError)):
        outcome(client)


def test_one_that_says_nothing_is_given_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "_WORD_TIMEOUT", -1.0)
    monkeypatch.setattr(control_socket, "_OUTCOME_TIMEOUT", 100.0)
    silent, waiting = door.client(), door.client(b"recycle\n")
    door.room.edge.control.tidy()
    assert outcome(silent) == (False, ["that took too long"])
    assert hears_nothing_yet(waiting)


def test_one_whose_outcome_never_comes_is_given_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "_OUTCOME_TIMEOUT", -1.0)
    waiting = door.client(b"recycle\n")
    door.room.edge.control.tidy()
    assert outcome(waiting) == (False, ["that took too long"])
    assert not door.room.edge.outcomes.waiting


def test_more_than_can_wait_are_sent_away(door: Door) -> None:
    clients = [door.client(b"recycle\n") for _ in range(16)]
    ok, [line] = outcome(door.client())
    assert (ok, "16" in line) == (False, True)
    clients[0].close()
    door.room.turn()
    assert hears_nothing_yet(door.client(b"recycle\n"))


def test_one_that_reads_nothing_holds_nothing_up(door: Door) -> None:
    client = door.client(b"recycle\n")
    long = ["x" * 1000] * 1000
    door.room.edge.outcomes.fail(Topic.RENEWAL, *long)
    assert not door.room.edge.control._clients
    ok, lines = outcome(client)
    assert not ok
    assert lines[-1] == f"and {1000 - len(lines) + 1} more: the log has them all"


def test_without_a_descriptor_the_listener_rests_until_the_next_tick(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: socket.socket) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "accept", none_left)
        client = door.client(b"handover\n")  # the loop would never come to rest
    assert len(door.room.said.of("control_accept_failed")) == 1
    door.room.edge.control.tidy()
    door.room.turn()
    assert "--vault" in outcome(client)[1][0]


_ASK = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    try:
        sock.sendall(b"handover\\n")
        sys.exit(len(sock.recv(4096)) > 0)
    except OSError:
        pass  # it was closed with the word unread
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_is_refused(door: Door) -> None:
    control = door.room.edge.control
    assert door.path.stat().st_mode & 0o777 == 0o600
    with tempfile.TemporaryDirectory(prefix="splicer-test-") as directory:
        path = Path(directory) / "control"
        control.close()
        control.listen(path)
        for each in (path.parent, path):
            each.chmod(0o777)  # by their modes everybody may
        with subprocess.Popen([sys.executable, "-c", _ASK, str(path), str(_NOBODY)]) as asker:
            late = time.monotonic() + _TIMEOUT
            while asker.poll() is None and time.monotonic() < late:
                door.room.turn()
            asker.kill()
        control.close()
    assert asker.returncode == 0
    assert door.room.said.of("control_peer_refused")[0]["uid"] == _NOBODY
    assert not door.room.said.of("handover_refused")


# ---- where it is, and what stays ----


def test_a_socket_that_a_dead_supervisor_left_is_replaced(door: Door, tmp_path: Path) -> None:
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    another = ControlSocket(door.room.selector, Outcomes(), door.room.said)
    another.listen(left)
    with pytest.raises(OSError, match="in use"):
        another.listen(door.path)
    another.close()
    assert not left.exists()
    assert door.path.exists()


@pytest.mark.parametrize("reread", [False, True])
def test_who_waits_goes_on_waiting_in_the_program_after_an_upgrade(door: Door, *, reread: bool) -> None:
    words = (b"upgrade\n", b"recycle\n", b"", b"reload\n")
    upgrade, recycle, silent, reload = clients = [door.client(word) for word in words]
    control = door.room.edge.control
    assert control.state is not None
    state = ControlState(
        control.state.path, os.dup(control.state.fd), tuple((os.dup(fd), topic) for fd, topic in control.state.clients)
    )
    assert all(map(hears_nothing_yet, clients))
    for each in list(control._clients):
        control._drop(each)
    outcomes = Outcomes()
    after = ControlSocket(door.room.selector, outcomes, door.room.said)
    after.restore(state, reread=reread)
    assert after.state is not None
    assert after.state.path == state.path
    after.on_word = lambda client, word: client.answer([word], ok=True)
    silent.sendall(b"late\n")
    door.room.turn()
    assert outcome(silent) == (True, ["late"])
    outcomes.succeed(Topic.RENEWAL, "upgraded")
    assert outcome(upgrade) == outcome(recycle) == (True, ["upgraded"])
    outcomes.succeed(Topic.READING, "read again")
    assert outcome(reload) == (True, ["read again" if reread else "upgraded"])
    after.close()


# ---- answers ----


@given(st.lists(st.text(max_size=200), max_size=50), st.booleans())
def test_an_answer_is_read_as_it_was_written(lines: list[str], ok: bool) -> None:
    data = encode(lines, ok=ok)
    assert data.index(b"\n") == len(data) - 1
    assert decode(data) == (ok, lines)


@given(st.integers(1, 100_000), st.integers(1, 400), st.sampled_from(["x", "ä", '"', "\U0001f600"]))
def test_an_answer_is_never_longer_than_a_socket_takes(length: int, count: int, sign: str) -> None:
    data = encode([sign * length] * count, ok=False)
    assert len(data) <= MAX_ANSWER_BYTES
    assert len(decode(data)[1]) <= count


@pytest.mark.parametrize("data", [b"", b"ok\n", b"[]\n", b'{"ok": 1, "lines": []}\n', b'{"ok": true}\n', b"\xff\n"])
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode(data)
