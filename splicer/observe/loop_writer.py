"""Writing log lines from the event loop, where the kernel can be asked not to wait (RWF_NOWAIT, pwritev2(2)).

A pipe can be asked; a terminal and most files can't, and have a thread. A thread costs each call two switches, and each
system call of a process with two threads takes longer.
"""

from __future__ import annotations

import threading
from contextlib import suppress

import trio

from splicer.observe.line_writer import BATCH_WINDOW, NOWAIT, LineWriter

_RETRY_INTERVAL = 0.005  # seconds until the next attempt at a full pipe


async def write_from_loop(lines: LineWriter) -> None:
    """Write the lines of a writer, and of those beside it, until cancelled."""
    wake = _Wake()
    lines.enter_loop(wake)
    try:
        while NOWAIT:
            await wake.wait()
            await trio.sleep(BATCH_WINDOW)
            # Two writers may have one pipe, and Trio lets only one task wait for it.
            while not lines.write_now():  # noqa: ASYNC110 - see above
                await trio.sleep(_RETRY_INTERVAL)
    finally:
        lines.leave_loop()


class _Wake:
    """Wakes the event loop when there is a line; lines may come from other threads."""

    def __init__(self) -> None:
        self._some = trio.Event()
        self._thread = threading.get_ident()
        self._token = trio.lowlevel.current_trio_token()

    def __call__(self) -> None:
        if threading.get_ident() == self._thread:
            self._some.set()
        else:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._some.set)

    async def wait(self) -> None:
        await self._some.wait()
        self._some = trio.Event()
