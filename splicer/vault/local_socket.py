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
    """The process that has connected, or that listens."""

    pid: int
    uid: int

    @property
    def may_ask(self) -> bool:
        """Whether it is of this process's user, or root's."""
        return self.uid in (os.geteuid(), 0)


def peer_of(sock: socket.socket) -> Peer:
    """The other end's process, as the kernel has noted it when it connected or began to listen (SO_PEERCRED)."""
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid, uid)


# A socket file that nobody listens at was left by a process that has been killed.
def listen_at(path: Path, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking listening socket of mode 0600.

    Args:
        path: where; a socket file that nobody serves is replaced.
        kind: SOCK_SEQPACKET or SOCK_STREAM.

    Raises:
        OSError: it can't be had; EADDRINUSE: another process serves it.
    """
    listener = socket.socket(socket.AF_UNIX, kind)
    with suppress(OSError):
        if stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX, kind) as probe:
                probe.setblocking(False)  # a full backlog is somebody's, and must not be waited for
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
