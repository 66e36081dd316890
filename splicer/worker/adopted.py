"""A tunnel of another worker, as the vault hands it over."""

from __future__ import annotations

import socket

from attrs import frozen

from splicer.vault import protocol
from splicer.vault.held import is_stream
from splicer.vault.protocol import TO_CLIENT, TO_POD, Message


@frozen
class Adopted:
    """A tunnel of another worker.

    Args:
        key: its key in the vault.
        adoptions: the number of times that it has changed its worker.
        passport: the passport with which it was registered.
        client: the client's socket.
        pod: the pod's socket.
        pipes: direction → read end of a pipe whose bytes must be sent first; its write end is closed.
        crashes: the number of workers that have crashed with it.
    """

    key: int
    adoptions: int
    passport: bytes
    client: socket.socket
    pod: socket.socket
    pipes: dict[int, int]
    crashes: int = 0


def read_adopted(message: Message) -> Adopted:
    """The tunnel of a TUNNEL message; it owns the message's descriptors from now on.

    Raises:
        ValueError: the descriptors are no tunnel; the message still owns them.
        OSError: the same, as an error of the kernel.
    """
    client, pod, *pipes = message.fds
    directions = [way for way in (TO_POD, TO_CLIENT) if message.flags & protocol.parked(way)]
    left = dict(zip(directions, pipes, strict=True))
    if not all(map(is_stream, (client, pod))):
        raise ValueError("no connection")
    sockets = socket.socket(fileno=client), socket.socket(fileno=pod)
    for sock in sockets:
        sock.setblocking(False)
    crashes = protocol.crashes(message.flags)
    return Adopted(message.number, message.quantity, message.payload, *sockets, left, crashes)
