"""The descriptors that come with a message, by its kind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from splicer.vault import protocol
from splicer.vault.fitness import has_fit_descriptors
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind, Message, channel

_TO_POD, _TO_CLIENT = protocol.parked(TO_POD), protocol.parked(TO_CLIENT)


@pytest.fixture
def things() -> Iterator[dict[str, int]]:
    """A connection, a listener, a channel, a pipe and a file."""
    with ExitStack() as stack:
        ends = [stack.enter_context(end) for end in (*socket.socketpair(), *channel())]
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        fds = *os.pipe(), os.open(os.devnull, os.O_RDONLY)
        for fd in fds:
            stack.callback(os.close, fd)
        yield {"c": ends[0].fileno(), "l": listener.fileno(), "u": ends[2].fileno(), "p": fds[0], "f": fds[2]}


@pytest.mark.parametrize(
    ("kind", "flags", "fit", "unfit"),
    [
        (Kind.TUNNEL, 0, ["cc"], ["", "c", "ccc", "cl", "cp", "fc", "ccp"]),
        (Kind.TUNNEL, _TO_POD, ["ccp"], ["cc", "ccf", "ccc", "cpp", "ccpp"]),
        (Kind.TUNNEL, _TO_POD | _TO_CLIENT, ["ccpp"], ["ccp", "ccpf"]),
        (Kind.PIPE, 0, ["p"], ["", "c", "f", "pp"]),
        (Kind.LISTENERS, 0, ["", "l", "ll"], ["c", "lc", "lf"]),
        (Kind.TLS, 0, ["uf"], ["", "u", "fu", "cf", "uff"]),
        (Kind.HELLO, 0, ["f"], ["", "ff"]),
        (Kind.RELEASE, 0, [""], ["c", "f"]),
        (Kind.COUNT, 0, [""], ["p"]),
    ],
)
def test_each_kind_has_its_own(
    things: dict[str, int], kind: Kind, flags: int, fit: list[str], unfit: list[str]
) -> None:
    for words, expected in ((fit, True), (unfit, False)):
        for word in words:
            fds = tuple(things[letter] for letter in word)
            message = Message(protocol.VERSION, kind, flags, 0, 2, b"", fds)
            assert has_fit_descriptors(message) is expected, word
