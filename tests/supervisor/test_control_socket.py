"""The control socket in a supervisor whose processes nobody has started: words in, lines out; no client holds it up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.supervisor import control_socket
from splicer.supervisor.control_socket import MAX_ANSWER_BYTES, ControlSocket, decode, encode
from splicer.supervisor.outcomes import Outcomes, Topic
from splicer.supervisor.state import ControlState
from tests.supervisor.door import TIMEOUT, Door, hears_nothing_yet, outcome

_NOBODY = 65534


# ---- clients ----


@pytest.mark.parametrize("word", [b"fly\n", b"\n", b"reload upgrade\n", b"x" * 65, b"\xff\n", b"reload\nreload\n"])
def test_what_is_no_command_gets_one_line_and_the_end(door: Door, word: bytes) -> None:
    ok, lines = outcome(door.client(word))
    assert (ok, len(lines)) == (False, 1)
    assert not door.harness.edge.outcomes.waiting


def test_a_word_may_come_in_pieces(door: Door) -> None:
    client = door.client(b"hand")
    assert hears_nothing_yet(client)
    client.sendall(b"over\n")
    door.harness.turn()
    assert "--vault" in outcome(client)[1][0]


def test_one_that_goes_away_is_forgotten(door: Door) -> None:
    for word in (b"", b"recy", b"recycle\n"):
        door.client(word).close()
        door.harness.turn()
        assert not door.harness.edge.control._clients
    assert not door.harness.edge.outcomes.waiting


def test_one_that_says_more_than_its_word_is_dropped(door: Door) -> None:
    client = door.client(b"recycle\n")
    client.sendall(b"recycle\n")
    door.harness.turn()
    assert not door.harness.edge.outcomes.waiting
    with pytest.raises((ConnectionResetError, ValueError)):
        outcome(client)


def test_one_that_says_nothing_is_given_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "_WORD_TIMEOUT", -1.0)
    monkeypatch.setattr(control_socket, "_OUTCOME_TIMEOUT", 100.0)
    silent, waiting = door.client(), door.client(b"recycle\n")
    door.harness.edge.control.tidy()
    assert outcome(silent) == (False, ["that took too long"])
    assert hears_nothing_yet(waiting)


def test_one_whose_outcome_never_comes_is_given_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "_OUTCOME_TIMEOUT", -1.0)
    waiting = door.client(b"recycle\n")
    door.harness.edge.control.tidy()
    assert outcome(waiting) == (False, ["that took too long"])
    assert not door.harness.edge.outcomes.waiting


def test_more_than_can_wait_are_sent_away(door: Door) -> None:
    clients = [door.client(b"recycle\n") for _ in range(16)]
    ok, [line] = outcome(door.client())
    assert (ok, "16" in line) == (False, True)
    clients[0].close()
    door.harness.turn()
    assert hears_nothing_yet(door.client(b"recycle\n"))


def test_one_that_reads_nothing_holds_nothing_up(door: Door) -> None:
    client = door.client(b"recycle\n")
    long = ["x" * 1000] * 1000
    door.harness.edge.outcomes.fail(Topic.RENEWAL, *long)
    assert not door.harness.edge.control._clients
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
    assert len(door.harness.said.of("control_accept_failed")) == 1
    door.harness.edge.control.tidy()
    door.harness.turn()
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
    control = door.harness.edge.control
    assert door.path.stat().st_mode & 0o777 == 0o600
    with tempfile.TemporaryDirectory(prefix="splicer-test-") as directory:
        path = Path(directory) / "control"
        control.close()
        control.listen(path)
        for each in (path.parent, path):
            each.chmod(0o777)  # by their modes everybody may
        with subprocess.Popen([sys.executable, "-c", _ASK, str(path), str(_NOBODY)]) as asker:
            late = time.monotonic() + TIMEOUT
            while asker.poll() is None and time.monotonic() < late:
                door.harness.turn()
            asker.kill()
        control.close()
    assert asker.returncode == 0
    assert door.harness.said.of("control_peer_refused")[0]["uid"] == _NOBODY
    assert not door.harness.said.of("handover_refused")


# ---- where it is, and what stays ----


def test_a_socket_that_a_dead_supervisor_left_is_replaced(door: Door, tmp_path: Path) -> None:
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    another = ControlSocket(door.harness.selector, Outcomes(), door.harness.said)
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
    control = door.harness.edge.control
    assert control.state is not None
    state = ControlState(
        control.state.path, os.dup(control.state.fd), tuple((os.dup(fd), topic) for fd, topic in control.state.clients)
    )
    assert all(map(hears_nothing_yet, clients))
    for each in list(control._clients):
        control._drop(each)
    outcomes = Outcomes()
    after = ControlSocket(door.harness.selector, outcomes, door.harness.said)
    after.restore(state, reread=reread)
    assert after.state is not None
    assert after.state.path == state.path
    after.on_word = lambda client, word: client.answer([word], ok=True)
    silent.sendall(b"late\n")
    door.harness.turn()
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
