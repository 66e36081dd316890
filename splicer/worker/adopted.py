"""A tunnel that another worker had, as the vault hands it over."""

from __future__ import annotations

import socket

from attrs import frozen

from splicer.vault import protocol
from splicer.vault.held import is_stream
from splicer.vault.protocol import TO_CLIENT, TO_POD, Message


@frozen
class Adopted:
    """A tunnel that another worker had.

    Args:
        key: its key in the vault.
        adoptions: how often it has changed its worker.
        passport: what was written down when it was registered.
        client: its socket.
        pod: its socket.
        pipes: direction → read end of a pipe whose bytes go first; nobody writes to it any more.
    """

    key: int
    adoptions: int
    passport: bytes
    client: socket.socket
    pod: socket.socket
    pipes: dict[int, int]


def read_adopted(message: Message) -> Adopted:
    """The tunnel of a TUNNEL message, which owns the message's descriptors from now on.

    Raises:
        ValueError: it is no tunnel; the message still owns its descriptors.
        OSError: the same, as the kernel says it.
    """
    client, pod, *pipes = message.fds
    directions = [way for way in (TO_POD, TO_CLIENT) if message.flags & protocol.parked(way)]
    left = dict(zip(directions, pipes, strict=True))
    if not all(map(is_stream, (client, pod))):
        raise ValueError("no connection")
    sockets = socket.socket(fileno=client), socket.socket(fileno=pod)
    for sock in sockets:
        sock.setblocking(False)
    return Adopted(message.number, message.quantity, message.payload, *sockets, left)
