"""Finding a running supervisor by its process title (proc(5), /proc/PID/cmdline)."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TITLE = "splicer: supervisor "
_CONTROL = " control="  # followed by an absolute path, up to the end
_POLL_INTERVAL = 0.05  # seconds between two checks
_PROC = Path("/proc")


class Found(NamedTuple):
    """A supervisor.

    Args:
        pid: its process id.
        config: the path of its routing.toml, as in its command line.
        control: the path of its control socket in its own file system; None: it has none.
    """

    pid: int
    config: str
    control: Path | None


def title_of(config: Path, control: Path | None) -> str:
    """The process title of a supervisor.

    Args:
        config: the path of its routing.toml.
        control: the absolute path of its control socket; None: it has none.
    """
    return f"{_TITLE}{config}{'' if control is None else f'{_CONTROL}{control}'}"


# A child that a supervisor has just forked has its title until it executes its own program (execve(2)).
def supervisors(config: Path) -> list[Found]:
    """The supervisors that run this file."""
    wanted = config.resolve()
    found: dict[int, Found] = {}
    parents: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # the process has ended, or belongs to another user
                one = supervisor(int(entry.name))
                if one is not None and ((entry / "cwd").readlink() / one.config).resolve() == wanted:
                    parents[one.pid] = int(_stat(one.pid)[1])
                    found[one.pid] = one
    return [one for pid, one in sorted(found.items()) if parents[pid] not in found]


def supervisor(pid: int) -> Found | None:
    """The supervisor with this pid; None if the process is no supervisor."""
    try:
        title = (_PROC / str(pid) / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="surrogateescape")
    except OSError:
        return None
    if not title.startswith(_TITLE):
        return None
    config, marker, control = title.removeprefix(_TITLE).rpartition(f"{_CONTROL}/")
    return Found(pid, config, Path(f"/{control}")) if marker else Found(pid, control, None)


def has_ended(pid: int, seconds: float) -> bool:
    """Wait at most `seconds` for a process to end; return whether it has."""
    late = time.monotonic() + seconds
    while (_PROC / str(pid)).exists() and not _is_zombie(pid):
        if time.monotonic() >= late:
            return False
        time.sleep(_POLL_INTERVAL)
    return True


def _is_zombie(pid: int) -> bool:
    try:
        return _stat(pid)[0] == "Z"
    except OSError:
        return True


def _stat(pid: int) -> list[str]:
    """What proc(5) says behind the command's name: the state, the parent, ..."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
