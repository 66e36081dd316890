"""Finding and killing the workers of an edge, through /proc."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import trio

_WORKER = re.compile(rb"splicer: worker (\d+)\b")


def worker_pids(edge_pid: int) -> dict[int, int]:
    """The pids of the serving workers, by slot; spares are left out.

    Args:
        edge_pid: the supervisor's.
    """
    return {int(title[1]): pid for pid in _descendants(edge_pid) if (title := _WORKER.match(_title(pid)))}


def _descendants(pid: int) -> list[int]:
    """All descendants of a process; one that ends meanwhile may be missing, with its own descendants."""
    found = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


def _title(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


async def kill_and_see(pid: int) -> None:
    """SIGKILL a process, and wait until it is dead and has no descriptor open."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            await trio.lowlevel.wait_readable(handle)
        finally:
            os.close(handle)
