"""What the vault keeps of a tunnel, and of a connection to a worker."""

from __future__ import annotations

import array
import fcntl
import math
import os
import socket
import stat
import termios
from collections import deque
from contextlib import suppress

from splicer.vault import protocol
from splicer.vault.journal import JournalReader
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind


class Held:
    """A tunnel: its two sockets, what its worker wrote down about it, and pipes that a dead worker left dirty."""

    __slots__ = ("adoptions", "client", "due", "given", "key", "orphaned", "owner", "passport", "pipes", "pod", "slot")

    def __init__(self, key: int, passport: bytes, client: int, pod: int, slot: int, adoptions: int) -> None:
        self.key = key
        self.passport = passport
        self.client = client
        self.pod = pod
        self.slot = slot  # of the worker that had it first, or has it now
        self.adoptions = adoptions
        self.owner: Channel | None = None
        self.orphaned = 0.0  # when it fell silent for want of an owner, on the monotonic clock
        self.due = 0.0  # when it may go to a worker of any slot
        self.given = -math.inf  # when it was given to its owner
        self.pipes: dict[int, int] = {}  # direction → read end; nobody can write to it any more

    def close(self) -> None:
        """Let go of its descriptors."""
        for fd in (self.client, self.pod, *self.pipes.values()):
            with suppress(OSError):  # the others are to be closed all the same
                os.close(fd)

    # Somebody else may still hold a duplicate: close(2) alone would send nothing.
    def shut(self) -> None:
        """End both connections in order."""
        for fd in (self.client, self.pod):
            with suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
                sock.shutdown(socket.SHUT_RDWR)

    def message(self, version: int) -> tuple[bytes, tuple[int, ...]]:
        """What its new owner, who speaks this version, gets, as things are now."""
        pipes = {way: self.pipes[way] for way in (TO_POD, TO_CLIENT) if way in self.pipes and unread(self.pipes[way])}
        flags = sum(protocol.parked(way) for way in pipes)
        data = protocol.pack(
            Kind.TUNNEL, self.key, self.passport, flags=flags, quantity=self.adoptions, version=version
        )
        return data, (self.client, self.pod, *pipes.values())


class Channel:
    """The vault's end of a connection to a worker or to a supervisor."""

    __slots__ = ("journal", "keys", "outbox", "pipes", "slot", "sock", "supervises", "version")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.supervises = False
        self.version = protocol.VERSION  # that it speaks
        self.slot = 0  # that it serves; 0: none
        self.journal: JournalReader | None = None
        self.pipes: dict[int, int] = {}  # place in the journal → read end
        self.keys: dict[int, None] = {}  # of the tunnels that it owns, in the order in which it got them
        self.outbox: deque[Held | tuple[bytes, tuple[int, ...]]] = deque()

    def is_gone(self) -> bool:
        """Whether the other side has closed, and all that it said has been read."""
        try:
            return not self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True


def unread(pipe: int) -> int:
    """How many bytes wait in a pipe (FIONREAD, ioctl_pipe(2)); what is no pipe holds none."""
    answer = array.array("i", [0])
    with suppress(OSError):
        fcntl.ioctl(pipe, termios.FIONREAD, answer)
    return answer[0]


# ---- what came from another process may be anything ----


def is_pipe(fd: int) -> bool:
    """Whether a descriptor is a pipe's."""
    return stat.S_ISFIFO(os.fstat(fd).st_mode)


def is_stream(fd: int, *, listens: bool = False) -> bool:
    """Whether a descriptor is a stream socket's: a connection, which its peer may have reset by now, or a listener.

    Args:
        fd: it stays open.
        listens: a listener is wanted.
    """
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return False
    try:
        stream = sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        return stream and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) is listens
    finally:
        sock.detach()
