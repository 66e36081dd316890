"""Starting splicer's processes by exec, with the code that is on disk now; `template_process` forks them, if it can."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from splicer.ipc import wire
from splicer.ipc.arguments import StartedTemplate, TemplateArguments
from splicer.ipc.codec import to_json
from splicer.vault.protocol import channel

# The modules that another version may start: an old supervisor starts the code that is on disk. So their names must
# never change.
WORKER = "splicer.worker"
ADMIN = "splicer.admin"
DISCOVERY = "splicer.discovery"
SUPERVISOR = "splicer.supervisor"
PREFLIGHT = "splicer.supervisor.preflight"
INSPECT = "splicer.configfile.inspect"
VAULT = "splicer.supervisor.vault_main"
TEMPLATE = "splicer.template"
TLS = "splicer.tls"
PROGRAMS = (WORKER, ADMIN, DISCOVERY, SUPERVISOR, PREFLIGHT, INSPECT, VAULT, TEMPLATE, TLS)

# Those that the template may fork: they hold no secret key, and import much. The vault is never one of them, and nor is
# a tls process. Of the token that the discovery process sends, the template knows nothing: it is read from its file
# afterwards.
FORKED = frozenset((WORKER, ADMIN, DISCOVERY, INSPECT))

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


class Unanswered(OSError):
    """The template has not answered: perhaps the process was started. The next attempt executes it."""


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs one of splicer's modules, from the same package as this one."""
    package = str(Path(__file__).resolve().parent.parent.parent)
    from_here = sys.path and sys.path[0] in (package, "") and not sys.flags.safe_path
    # Each process would have 0.5 MB of columns, for the carets below the lines of a traceback.
    return [sys.executable, *([] if from_here else ["-P"]), "-X", "no_debug_ranges", "-m", module, *arguments]


# When memory runs out, the kernel kills one process: it should be a worker, whose calls go on in the next one, and not
# the supervisor, which holds all calls. 100 counts as a tenth of the memory (proc_pid_oom_score_adj(5)).
_FIRST_TO_GO = 100
_HIGHEST_SCORE = 1000  # the score of a container without a memory request

# The service manager's variables (sd_notify(3)) are for the supervisor alone.
MANAGERS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


def spawn(module: str, arguments: object, fds: Sequence[int]) -> int:
    """Start a process, which the kernel kills before this one when memory runs out; return its pid.

    Args:
        module: the module that it runs.
        arguments: its only argument, sent as JSON (`ipc.arguments`).
        fds: the descriptors that it gets, under the same numbers.

    Raises:
        OSError: the process could not be started.
    """
    return execute(module, [to_json(arguments)], {fd: fd for fd in fds})


def execute(module: str, words: Sequence[str], fds: Mapping[int, int], *, group: bool = False) -> int:
    """Start a process, as `spawn` does.

    Args:
        module: the module that it runs.
        words: its arguments.
        fds: the descriptors that it gets, by their numbers in it.
        group: whether it gets a process group of its own: then the terminal's Ctrl-C is not for it.

    Raises:
        OSError: the process could not be started.
    """
    line = command(module, *words)
    kept = [fd for number, fd in fds.items() if number == fd]
    moves = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in fds.items() if number != fd]
    start = partial(os.posix_spawn, setpgroup=0) if group else os.posix_spawn
    for fd in kept:
        os.set_inheritable(fd, True)
    environ = {name: value for name, value in os.environ.items() if name not in MANAGERS}
    try:
        pid = start(line[0], line, environ, file_actions=moves, setsigmask=SIGNALS)
    finally:
        for fd in kept:
            os.set_inheritable(fd, False)
    take_first(pid)
    return pid


def take_first(pid: int) -> None:
    """Have the kernel kill a process before this one when memory runs out."""
    with suppress(OSError):  # it is not permitted everywhere
        score = int(Path("/proc/self/oom_score_adj").read_text())
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(min(_HIGHEST_SCORE, score + _FIRST_TO_GO)))


def start_template() -> StartedTemplate:
    """Start a template (`splicer.template`).

    Raises:
        OSError: it could not be started.
    """
    _open_standard_descriptors()
    ours, its = channel()
    with ours, its:
        pid = spawn(TEMPLATE, TemplateArguments(its.fileno(), wire.VERSION), [its.fileno()])
        return StartedTemplate(pid, ours.detach())


def become(module: str, arguments: object, fds: Sequence[int] = ()) -> NoReturn:
    """Execute another program in this process.

    Args:
        module: the module that it runs.
        arguments: its only argument, sent as JSON (`ipc.arguments`).
        fds: the descriptors that stay open.

    Raises:
        OSError: the exec failed; nothing has changed.
    """
    _open_standard_descriptors()
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


# If one were closed, the next socket would get its number, and our log would be written to it.
def _open_standard_descriptors() -> None:
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
