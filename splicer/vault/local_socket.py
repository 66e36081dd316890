"""Listening sockets in the file system (unix(7)) for processes of the same user, or root."""

from __future__ import annotations

import os
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_BACKLOG = 256
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred, unix(7)


class Peer(NamedTuple):
    """The process at the other end of a connection."""

    pid: int
    uid: int

    @property
    def may_ask(self) -> bool:
        """Whether its user is this process's user or root."""
        return self.uid in (os.geteuid(), 0)


def peer_of(sock: socket.socket) -> Peer:
    """The process at the other end, as recorded by the kernel at its connect(2) or listen(2) (SO_PEERCRED)."""
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid, uid)


# A socket file without a listener was left by a killed process.
def listen_at(path: Path, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking listening socket of mode 0600.

    Args:
        path: the path of the socket; a socket file without a listener is replaced.
        kind: SOCK_SEQPACKET or SOCK_STREAM.

    Raises:
        OSError: bind(2) or listen(2) failed; EADDRINUSE: another process listens there.
    """
    listener = socket.socket(socket.AF_UNIX, kind)
    with suppress(OSError):
        if stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX, kind) as probe:
                probe.setblocking(False)  # a full backlog means that a process listens; connect(2) must not wait for it
                try:
                    probe.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink()
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.setblocking(False)
    listener.listen(_BACKLOG)
    return listener
