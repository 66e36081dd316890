"""What the supervisor and its processes say to each other, and what becomes of the descriptors beside it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from splicer.ipc import wire
from splicer.ipc.facts import Faults, OperatorDrains, Reading
from splicer.ipc.messages import AdminOrder, AdminReport, Config, Drain, Serve, Stop, WantDrains, WorkerOrder
from splicer.ipc.wire import Received
from splicer.vault.protocol import channel
from tests.kit.descriptors import no_more_descriptors, none_left_open

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A channel; no descriptor may be left of what went through it."""
    with none_left_open():
        ours, theirs = channel()
        with ours, theirs:
            yield ours, theirs


_SERVE = Serve(5, slot=3, slots=4, draining=False, listeners={"listen": 1, "ü": 1})
_STOP: Received[WorkerOrder] = Received(Stop(), [], lost=False, version=wire.VERSION, request=None)


def send(sock: socket.socket, data: bytes, *fds: int) -> None:
    socket.send_fds(sock, [data], fds)


def receive(sock: socket.socket) -> Received[WorkerOrder] | None:
    return wire.receive(sock, WorkerOrder)


def test_a_message_and_its_descriptors_arrive_in_order(ends: Ends) -> None:
    ours, theirs = ends
    files = [wire.text_file(text) for text in ("first", "second")]
    wire.send(ours, _SERVE, tuple(files))
    wire.send(ours, Stop())
    for fd in files:
        os.close(fd)
    heard = receive(theirs)
    assert heard is not None
    assert heard == Received(_SERVE, heard.fds, lost=False, version=wire.VERSION, request=5)
    assert not any(os.get_inheritable(fd) for fd in heard.fds)
    assert [wire.read_text(fd) for fd in heard.fds] == ["first", "second"]
    assert receive(theirs) == _STOP
    with pytest.raises(BlockingIOError):
        receive(theirs)


def test_descriptors_that_find_no_room_are_missing_all_together(ends: Ends) -> None:
    ours, theirs = ends
    files = [wire.text_file(text) for text in ("first", "second")]
    wire.send(ours, _SERVE, tuple(files))
    for fd in files:
        os.close(fd)
    with no_more_descriptors():
        assert receive(theirs) == Received(_SERVE, [], lost=True, version=wire.VERSION, request=5)


def test_many_descriptors_fit_into_one_message(ends: Ends) -> None:
    ours, theirs = ends
    fds = tuple(os.dup(0) for _ in range(60))
    wire.send(ours, _SERVE, fds)
    heard = receive(theirs)
    assert heard is not None
    assert len(heard.fds) == 60
    for fd in (*fds, *heard.fds):
        os.close(fd)


def test_the_end(ends: Ends) -> None:
    ours, theirs = ends
    wire.send(ours, Stop())
    ours.close()
    assert receive(theirs) == _STOP
    assert receive(theirs) is None
    with pytest.raises(BrokenPipeError):
        wire.send(theirs, Stop())


# unix_release_sock() of Linux: the end of one who had not read all is told as ECONNRESET, before what it had said.
def test_a_dead_senders_last_words_are_read_behind_its_reset(ends: Ends) -> None:
    ours, theirs = ends
    wire.send(theirs, Drain(1))  # is never read
    wire.send(ours, Stop())
    ours.close()
    assert receive(theirs) == _STOP
    assert receive(theirs) is None


def test_the_version_before_is_understood(ends: Ends) -> None:
    ours, theirs = ends
    send(ours, json.dumps({"version": wire.VERSION - 1, "kind": "stop"}).encode())
    assert receive(theirs) == replace(_STOP, version=wire.VERSION - 1)


@pytest.mark.parametrize(
    "data",
    [
        json.dumps({"version": wire.VERSION + 1, "kind": "stop"}).encode(),
        json.dumps({"version": wire.VERSION - 2, "kind": "stop"}).encode(),
        b'{"kind": "stop"}',
        b'{"version": 1}',
        b'{"version": 1, "kind": ["stop"]}',
        b'{"version": 1, "kind": "serve", "request": 1}',
        b'{"version": 1, "kind": "drain", "request": "1"}',
        b"[]",
        b"null",
        b"nonsense",
        b"\xff\xfe",
    ],
)
def test_what_is_not_understood_is_refused_and_its_descriptors_are_closed(ends: Ends, data: bytes) -> None:
    ours, theirs = ends
    send(ours, data, 0, 1)
    with pytest.raises(ValueError):
        receive(theirs)
    wire.send(ours, Stop())
    assert receive(theirs) == _STOP


def test_a_message_that_came_later_is_ignored_and_its_descriptors_are_closed(ends: Ends) -> None:
    ours, theirs = ends
    send(ours, json.dumps({"version": wire.VERSION, "kind": "dance", "request": 7, "fds": 2}).encode(), 0, 1)
    assert receive(theirs) == Received(None, [], lost=False, version=wire.VERSION, request=7)


def test_a_message_of_another_border_is_none_here(ends: Ends) -> None:
    ours, theirs = ends
    wire.send(ours, Config())
    assert receive(theirs) == replace(_STOP, message=None)
    wire.send(ours, Stop())
    heard = wire.receive(theirs, AdminOrder)
    assert heard is not None
    assert heard.message == Stop()


def test_one_who_reads_nothing_is_told_nothing_and_holds_nobody_up(ends: Ends) -> None:
    ours, _ = ends
    with pytest.raises(BlockingIOError):  # noqa: PT012  # how many fit is the kernel's affair
        while True:
            wire.send(ours, WantDrains(OperatorDrains(pods={"x" * 10_000: 1.0})))


@pytest.mark.parametrize("text", ["", "[server]\n", "ünï\u2028" * 50_000])
def test_a_text_is_read_whole_by_any_number_of_readers(text: str) -> None:
    with none_left_open():
        fd = wire.text_file(text)
        assert not os.get_inheritable(fd)
        again = os.dup(fd)  # they share an offset
        assert wire.read_text(fd) == text
        assert wire.read_text(again) == text


def test_a_message_that_no_reader_would_take_is_not_sent(ends: Ends) -> None:
    ours, theirs = ends
    longest = WantDrains(OperatorDrains(pods={"x" * 60_000: 1.0}))
    wire.send(ours, longest)
    with pytest.raises(wire.TooLong, match=r"70\d\d\d bytes"):
        wire.send(ours, WantDrains(OperatorDrains(pods={"x" * 70_000: 1.0})))
    heard = wire.receive(theirs, AdminReport)
    assert heard is not None
    assert heard.message == longest
    with pytest.raises(BlockingIOError):
        receive(theirs)


# ---- what a child prints ----


def test_what_a_child_prints_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    faults = Faults(("routing.toml: ü",), None)
    handler = signal.getsignal(signal.SIGPIPE)
    try:
        wire.answer(faults)
    finally:
        signal.signal(signal.SIGPIPE, handler)
    assert wire.answered(Reading, capsys.readouterr().out.encode()) == faults


@pytest.mark.parametrize("data", [b"", b"no JSON", b"[]", b"{}", b'{"kind": "poem"}', b'{"kind": "faults"}', b"\xff"])
def test_what_is_no_answer_of_a_childs_is_told(data: bytes) -> None:
    with pytest.raises(ValueError):
        wire.answered(Reading, data)
