"""Starting splicer's processes: by exec, with the code that is on disk now."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from splicer.ipc.codec import to_json

# The modules that another version may start: an old supervisor starts the code that is on disk. So their names must
# never change.
WORKER = "splicer.worker"
ADMIN = "splicer.admin"
SUPERVISOR = "splicer.supervisor"
PREFLIGHT = "splicer.supervisor.preflight"
INSPECT = "splicer.configfile.inspect"
VAULT = "splicer.supervisor.vault_main"
PROGRAMS = (WORKER, ADMIN, SUPERVISOR, PREFLIGHT, INSPECT, VAULT)

# A process starts with these signals blocked, and unblocks them when it has its handlers.
SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
)


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs one of splicer's modules, from the same package as this one."""
    package = str(Path(__file__).resolve().parent.parent.parent)
    from_here = sys.path and sys.path[0] in (package, "") and not sys.flags.safe_path
    return [sys.executable, *([] if from_here else ["-P"]), "-m", module, *arguments]


# When memory runs out, the kernel kills one process: it should be a worker, whose calls go on in the next one, and not
# the supervisor, which holds all calls. 100 counts as a tenth of the memory (proc_pid_oom_score_adj(5)).
_FIRST_TO_GO = 100
_HIGHEST_SCORE = 1000  # the score of a container without a memory request


def spawn(module: str, arguments: object, fds: Sequence[int]) -> int:
    """Start a process, which the kernel kills before this one when memory runs out; return its pid.

    Args:
        module: the module that it runs.
        arguments: its only argument, sent as JSON (`ipc.arguments`).
        fds: the descriptors that it gets, under the same numbers.

    Raises:
        OSError: the process could not be started.
    """
    line = command(module, to_json(arguments))
    for fd in fds:
        os.set_inheritable(fd, True)
    try:
        pid = os.posix_spawn(line[0], line, os.environ, setsigmask=SIGNALS)
    finally:
        for fd in fds:
            os.set_inheritable(fd, False)
    with suppress(OSError):  # it is not permitted everywhere
        score = int(Path("/proc/self/oom_score_adj").read_text())
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(min(_HIGHEST_SCORE, score + _FIRST_TO_GO)))
    return pid


def become(module: str, arguments: object, fds: Sequence[int] = ()) -> NoReturn:
    """Execute another program in this process.

    Args:
        module: the module that it runs.
        arguments: its only argument, sent as JSON (`ipc.arguments`).
        fds: the descriptors that stay open.

    Raises:
        OSError: the exec failed; nothing has changed.
    """
    for fd in (0, 1, 2):  # if one were closed, the next socket would get its number, and our log would be written to it
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    line = command(module, to_json(arguments))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for fd in fds:
        os.set_inheritable(fd, True)
    try:
        os.execve(line[0], line, os.environ)  # noqa: S606 - our own interpreter, no shell
    finally:
        for fd in fds:
            os.set_inheritable(fd, False)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
