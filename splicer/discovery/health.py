"""Whether what is known of a namespace is current: one failure doesn't change that, five seconds of them do."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

GRACE_SECONDS = 5.0  # of failures, after which nobody can say that nothing has changed


class Health:
    """Reports each change once.

    Args:
        synced: is called when what is known is current.
        lost: is called when it isn't any more, or couldn't be made so after the start, with the reason.
    """

    def __init__(self, synced: Callable[[], None], lost: Callable[[str], None]) -> None:
        self._report_synced, self._report_lost = synced, lost
        self._synced: bool | None = None  # None: neither has been reported
        self._failing_since = math.inf
        self._reason = ""
        self._failed = trio.Event()

    def good(self) -> None:
        """What is known is current."""
        self._failing_since = math.inf
        if self._synced is not True:
            self._synced = True
            self._report_synced()

    def failing(self, reason: str) -> None:
        """An attempt has failed: nothing is lost yet."""
        self._reason = reason
        if math.isinf(self._failing_since):
            self._failing_since = trio.current_time()
            self._failed.set()

    def lost(self, reason: str) -> None:
        """What is known may be wrong."""
        self.failing(reason)
        if self._synced is not False:
            self._synced = False
            self._report_lost(reason)

    async def run(self) -> None:
        """Report what has been failing for too long, until cancelled."""
        while True:
            await self._failed.wait()
            self._failed = trio.Event()
            since = self._failing_since
            if since < math.inf:
                await trio.sleep_until(since + GRACE_SECONDS)
                if since == self._failing_since:
                    self.lost(self._reason)
