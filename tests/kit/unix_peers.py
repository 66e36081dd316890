"""Which processes have the two ends of a unix socket, by the kernel (sock_diag(7))."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_SOCK_DIAG_BY_FAMILY, _NETLINK_SOCK_DIAG = 20, 4  # <linux/sock_diag.h>, <linux/netlink.h>
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_DONE, _ERROR = 3, 2  # NLMSG_DONE, NLMSG_ERROR
_SHOW_PEER, _PEER = 4, 2  # UDIAG_SHOW_PEER, UNIX_DIAG_PEER of <linux/unix_diag.h>
_EVERY_STATE = 0xFFFFFFFF
_HEADER, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
_QUESTION, _ROW = struct.Struct("=BBHIIIII"), struct.Struct("=BBBBIII")


def joined(one: int, other: int) -> bool:
    """Whether a unix socket joins two processes."""
    ours, theirs = _inodes(one), _inodes(other)
    return any(inode in ours and peer in theirs for inode, peer in _peers().items())


def _peers() -> dict[int, int]:
    question = _QUESTION.pack(socket.AF_UNIX, 0, 0, _EVERY_STATE, 0, _SHOW_PEER, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(_HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0) + question)
        found: dict[int, int] = {}
        while True:
            data = kernel.recv(1 << 16)
            while data:
                size, kind, *_ = _HEADER.unpack_from(data)
                if kind == _DONE:
                    return found
                assert kind != _ERROR, "the kernel doesn't tell"
                found.update(_row(data[_HEADER.size : size]))
                data = data[_aligned(size) :]


def _row(data: bytes) -> dict[int, int]:
    inode = _ROW.unpack_from(data)[4]
    rest = data[_ROW.size :]
    while rest:
        size, kind = _ATTRIBUTE.unpack_from(rest)
        if kind == _PEER:
            return {inode: struct.unpack_from("=I", rest, _ATTRIBUTE.size)[0]}
        rest = rest[_aligned(size) :]
    return {}


def _aligned(size: int) -> int:
    return (size + 3) & ~3


def _inodes(pid: int) -> set[int]:
    found = set()
    try:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            target = str(fd.readlink())
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    except OSError:  # it, or a descriptor, is gone
        pass
    return found
