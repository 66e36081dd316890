"""The template's loop: it forks a process for each order of the supervisor.

A forked process must be the supervisor's child, which alone may wait for it. So it is forked twice: the process between
ends at once, and the supervisor, which is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER), inherits the orphan before it
hears its number. clone(2) with CLONE_PARENT would save one fork; but only through a bare system call, which skips what
C library and interpreter do around fork(2): locks, the thread's number, and the state of random generators.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass

from splicer.ipc import wire
from splicer.ipc.forking import Fork, Forked, Parse, Parsed, TemplateOrder, TemplateReport


@dataclass(frozen=True, slots=True)
class Birth:
    """What a forked process is to become.

    Args:
        order: the supervisor's order.
        fds: its descriptors.
    """

    order: Fork
    fds: list[int]


def serve(
    sock: socket.socket, version: int, programs: Container[str], parse: Callable[[str, int | None], None]
) -> Birth | None:
    """Fork until the supervisor is gone, and return None then; in a forked process, return what it is to become.

    Args:
        sock: the channel to the supervisor, which may block.
        version: the supervisor's version of the wire.
        programs: those that may be forked.
        parse: reads a configuration, given the file's path, and the descriptor of a text, which it closes, or None; it
            never raises.
    """
    while True:
        try:
            heard = wire.receive(sock, TemplateOrder)
        except (OSError, ValueError):  # a supervisor that can't be understood starts another template
            return None
        if heard is None:
            return None
        order = heard.message
        if isinstance(order, Parse):
            parse(order.path, next(iter(heard.fds), None))
            _tell(sock, Parsed(order.request), version)
        if not isinstance(order, Fork):
            continue
        try:
            if heard.lost:
                raise OSError(errno.EMFILE, "no room for the descriptors")  # noqa: TRY301 - told below, like a fork's
            if order.program not in programs:
                raise OSError(errno.ENOENT, "no such program")  # noqa: TRY301 - as above
            pid = _fork(group=order.group)
            if pid == 0:
                sock.detach()  # its number may soon be that of another descriptor
                return Birth(order, heard.fds)
            answer = Forked(order.request, pid)
        except OSError as error:
            answer = Forked(order.request, 0, error.errno or errno.EAGAIN)
        for fd in heard.fds:
            os.close(fd)
        _tell(sock, answer, version)


def _tell(sock: socket.socket, report: TemplateReport, version: int) -> None:
    with suppress(OSError):  # the channel's end is read next
        wire.send(sock, report, version=version)


# Returns 0 in the new process. The process between the two never returns.
def _fork(*, group: bool) -> int:
    told, tell = os.pipe()
    try:
        between = os.fork()
        if between == 0:
            _fork_again(tell, group=group)
            return 0
        os.close(tell)
        tell = -1
        answer = int(os.read(told, 32) or -errno.EAGAIN)
        os.waitpid(between, 0)  # from now on, the new process is the supervisor's child
    finally:
        os.close(told)
        if tell >= 0:
            os.close(tell)
    if answer < 0:
        raise OSError(-answer, os.strerror(-answer))
    return answer


# Returns in the new process alone. The group is made on both sides: it exists when the supervisor hears of the process,
# and when the process begins.
def _fork_again(tell: int, *, group: bool) -> None:
    pid = None
    try:
        try:
            pid = os.fork()
        except OSError as error:
            os.write(tell, str(-(error.errno or errno.EAGAIN)).encode())
        if pid is not None and group:
            with suppress(OSError):  # it has ended already
                os.setpgid(pid, 0)
        if pid:
            os.write(tell, str(pid).encode())
    finally:
        if pid != 0:
            os._exit(0)
