"""The workers of an edge, as the kernel shows them, and how they are killed."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import trio

_WORKER = re.compile(rb"splicer: worker (\d+)\b")


def worker_pids(edge_pid: int) -> dict[int, int]:
    """The workers that serve now, by slot: a spare is none.

    Args:
        edge_pid: the supervisor's.
    """
    return {int(title[1]): pid for pid in _descendants(edge_pid) if (title := _WORKER.match(_title(pid)))}


def _descendants(pid: int) -> list[int]:
    """Its children and theirs; whoever ends meanwhile may be missing, with its own."""
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
    """SIGKILL, and wait until the process is dead: it holds no descriptor any more."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            await trio.lowlevel.wait_readable(handle)
        finally:
            os.close(handle)
