"""Finds a running supervisor by the title that it has given itself (proc(5), /proc/PID/cmdline)."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

_TITLE = "splicer: supervisor "
_POLL_INTERVAL = 0.05  # seconds
_PROC = Path("/proc")


def supervisors(config: Path) -> list[int]:
    """The pids of those that run this file."""
    wanted = config.resolve()
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended, or is somebody else's
                title = _title(entry)
                if title.startswith(_TITLE) and ((entry / "cwd").readlink() / title[len(_TITLE) :]).resolve() == wanted:
                    found.append(int(entry.name))
    return sorted(found)


def is_supervisor(pid: int) -> bool:
    """Whether this process is one."""
    try:
        return _title(_PROC / str(pid)).startswith(_TITLE)
    except OSError:
        return False


def is_handing_over(pid: int, seconds: float) -> bool:
    """Wait, so long, until a supervisor says by its title that it does as it was told; whether it has."""
    late = time.monotonic() + seconds
    while is_supervisor(pid):
        if time.monotonic() >= late:
            return False
        time.sleep(_POLL_INTERVAL)
    return True


def has_ended(pid: int, seconds: float) -> bool:
    """Wait for a process to end, so long; whether it has."""
    late = time.monotonic() + seconds
    while (_PROC / str(pid)).exists() and not _is_zombie(pid):
        if time.monotonic() >= late:
            return False
        time.sleep(_POLL_INTERVAL)
    return True


def _is_zombie(pid: int) -> bool:
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _title(entry: Path) -> str:
    return (entry / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
