"""What the supervisor and its processes say to each other, and what becomes of the descriptors beside it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest

from splicer.ipc import wire
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


def send(sock: socket.socket, data: bytes, *fds: int) -> None:
    socket.send_fds(sock, [data], fds)


def test_a_message_and_its_descriptors_arrive_in_order(ends: Ends) -> None:
    ours, theirs = ends
    files = [wire.text_file(text) for text in ("first", "second")]
    wire.send(ours, {"do": "serve", "slot": 3, "word": "ü"}, tuple(files))
    wire.send(ours, {"do": "stop"})
    for fd in files:
        os.close(fd)
    heard = wire.receive(theirs)
    assert heard is not None
    words, fds = heard
    assert words == {"version": wire.VERSION, "fds": 2, "do": "serve", "slot": 3, "word": "ü"}
    assert not any(os.get_inheritable(fd) for fd in fds)
    assert [wire.read_text(fd) for fd in fds] == ["first", "second"]
    assert wire.receive(theirs) == ({"version": wire.VERSION, "do": "stop"}, [])
    with pytest.raises(BlockingIOError):
        wire.receive(theirs)


def test_descriptors_that_find_no_room_are_missing_all_together(ends: Ends) -> None:
    ours, theirs = ends
    files = [wire.text_file(text) for text in ("first", "second")]
    wire.send(ours, {"do": "serve"}, tuple(files))
    for fd in files:
        os.close(fd)
    with no_more_descriptors():
        assert wire.receive(theirs) == ({"version": wire.VERSION, "fds": 2, "do": "serve"}, [])


def test_many_descriptors_fit_into_one_message(ends: Ends) -> None:
    ours, theirs = ends
    fds = tuple(os.dup(0) for _ in range(60))
    wire.send(ours, {"do": "serve"}, fds)
    heard = wire.receive(theirs)
    assert heard is not None
    assert len(heard[1]) == 60
    for fd in (*fds, *heard[1]):
        os.close(fd)


def test_the_end(ends: Ends) -> None:
    ours, theirs = ends
    wire.send(ours, {"is": "ready"})
    ours.close()
    assert wire.receive(theirs) == ({"version": wire.VERSION, "is": "ready"}, [])
    assert wire.receive(theirs) is None
    with pytest.raises(BrokenPipeError):
        wire.send(theirs, {"do": "stop"})


# unix_release_sock() of Linux: the end of one who had not read all is told as ECONNRESET, before what it had said.
def test_a_dead_senders_last_words_are_read_behind_its_reset(ends: Ends) -> None:
    ours, theirs = ends
    wire.send(theirs, {"do": "drain"})  # is never read
    wire.send(ours, {"is": "ready"})
    ours.close()
    assert wire.receive(theirs) == ({"version": wire.VERSION, "is": "ready"}, [])
    assert wire.receive(theirs) is None


def test_the_version_before_is_understood(ends: Ends) -> None:
    ours, theirs = ends
    send(ours, json.dumps({"version": wire.VERSION - 1, "do": "stop"}).encode())
    assert wire.receive(theirs) == ({"version": wire.VERSION - 1, "do": "stop"}, [])


@pytest.mark.parametrize(
    "data",
    [
        json.dumps({"version": wire.VERSION + 1, "do": "stop"}).encode(),
        json.dumps({"version": wire.VERSION - 2, "do": "stop"}).encode(),
        b'{"do": "stop"}',
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
        wire.receive(theirs)
    wire.send(ours, {"do": "drain"})
    assert wire.receive(theirs) == ({"version": wire.VERSION, "do": "drain"}, [])


def test_one_who_reads_nothing_is_told_nothing_and_holds_nobody_up(ends: Ends) -> None:
    ours, _ = ends
    with pytest.raises(BlockingIOError):  # noqa: PT012  # how many fit is the kernel's affair
        while True:
            wire.send(ours, {"do": "reload", "text": "x" * 10_000})


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
    wire.send(ours, {"do": "x" * 60_000})
    with pytest.raises(wire.TooLong, match="70024 bytes"):
        wire.send(ours, {"do": "x" * 70_000})
    assert wire.receive(theirs) == ({"version": wire.VERSION, "do": "x" * 60_000}, [])
    with pytest.raises(BlockingIOError):
        wire.receive(theirs)
