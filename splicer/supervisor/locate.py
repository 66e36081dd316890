"""Finds a running supervisor by the title that it has given itself (proc(5), /proc/PID/cmdline)."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TITLE = "splicer: supervisor "
_CONTROL = " control="  # and an absolute path, up to the end
_POLL_INTERVAL = 0.05  # seconds
_PROC = Path("/proc")


class Found(NamedTuple):
    """A supervisor.

    Args:
        pid: its own.
        config: the routing.toml, as its command line has it.
        control: its control socket, as it sees the file system; None: it has none.
    """

    pid: int
    config: str
    control: Path | None


def title_of(config: Path, control: Path | None) -> str:
    """The title by which a supervisor is found.

    Args:
        config: its routing.toml.
        control: its control socket, absolute; None: it has none.
    """
    return f"{_TITLE}{config}{'' if control is None else f'{_CONTROL}{control}'}"


def supervisors(config: Path) -> list[Found]:
    """Those that run this file."""
    wanted = config.resolve()
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended, or is somebody else's
                one = supervisor(int(entry.name))
                if one is not None and ((entry / "cwd").readlink() / one.config).resolve() == wanted:
                    found.append(one)
    return sorted(found)


def supervisor(pid: int) -> Found | None:
    """What this process is, if it is one."""
    try:
        title = (_PROC / str(pid) / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="surrogateescape")
    except OSError:
        return None
    if not title.startswith(_TITLE):
        return None
    config, marker, control = title.removeprefix(_TITLE).rpartition(f"{_CONTROL}/")
    return Found(pid, config, Path(f"/{control}")) if marker else Found(pid, control, None)


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
