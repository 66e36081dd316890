"""The limits that this machine sets to an edge, and the kernel memory of a socket."""

from __future__ import annotations

import os
import resource
import select
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

_SYSCTL = Path("/proc/sys")
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: no TIME_WAIT is left behind
_FRAME = bytes(320)


def sysctl(name: str) -> list[int] | None:
    """The numbers of a sysctl; None if it does not exist: its module is not loaded, or the system is another.

    Args:
        name: "fs.file-max".
    """
    try:
        return [int(word) for word in (_SYSCTL / name.replace(".", "/")).read_text().split()]
    except (OSError, ValueError):
        return None


def first(name: str) -> int | None:
    """The number of a sysctl with a single number."""
    found = sysctl(name)
    return found[0] if found else None


def ports() -> int | None:
    """The number of ports for outgoing connections."""
    found = sysctl("net.ipv4.ip_local_port_range")
    return found[1] - found[0] + 1 if found else None


def nofile() -> int | None:
    """The hard RLIMIT_NOFILE; None: unlimited, which fs.nr_open still bounds."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return first("fs.nr_open") if hard == resource.RLIM_INFINITY else hard


def memory() -> int | None:
    """The machine's memory in bytes."""
    return meminfo("MemTotal")


def cores() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def meminfo(key: str) -> int | None:
    """A line of /proc/meminfo, in bytes; see proc_meminfo(5)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)


def socket_bytes(connections: int = 4000) -> float:
    """Kernel memory of a connected TCP socket that waits in an epoll: how much the slabs grow for each, on loopback.

    Each socket has carried a frame both ways, and its buffers are empty. Other activity on the machine is counted too.

    Args:
        connections: their number; they take twice as many descriptors.

    Raises:
        OSError: it can't be measured here.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        poll = stack.enter_context(select.epoll())
        before = _slabs()
        for _ in range(connections):
            client = stack.enter_context(socket.create_connection(listener.getsockname()))
            pod = stack.enter_context(listener.accept()[0])
            for one, other in ((client, pod), (pod, client)):
                one.sendall(_FRAME)
                other.recv(len(_FRAME))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                poll.register(one, select.EPOLLIN)
        return (_slabs() - before) / (2 * connections)


def _slabs() -> int:
    found = meminfo("Slab")
    if found is None:
        raise OSError("/proc/meminfo has no line Slab")
    return found
