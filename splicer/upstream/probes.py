"""Probes: connects that find out which endpoints can be reached, so that no call waits for those that can't."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from splicer.errors import ConnectFailed, ConnectRefused, NoDescriptor
from splicer.model import Endpoint
from splicer.net.dial import InTime, without_deadline
from splicer.net.stream import ByteStream
from splicer.upstream.race import MOST, STAGGER
from splicer.upstream.reachability import Reachability

_PAUSE = 1.0  # seconds, when there is no descriptor


class Probes:
    """Makes the probes that `Reachability` wants: at most as many at once as one call has connects under way.

    A connection is closed as soon as it is there; nothing is sent.

    Args:
        reachability: knows which endpoints to probe, and is told what came of it.
        dial: opens a connection (`net.dial`).
    """

    def __init__(self, reachability: Reachability, dial: Callable[[Endpoint, InTime], Awaitable[ByteStream]]) -> None:
        self._reachability = reachability
        self._dial = dial

    async def run(self) -> None:
        """Probe until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(MOST):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            endpoint = self._reachability.next_probe()
            if endpoint is None:
                await self._reachability.wanted.wait()
                continue
            try:
                await self._probe(endpoint)
            except NoDescriptor:  # calls need them more
                self._reachability.give_up_probes()
                await trio.sleep(_PAUSE)
            finally:
                self._reachability.probed(endpoint)

    async def _probe(self, endpoint: Endpoint) -> None:
        await trio.lowlevel.checkpoint()
        try:
            with trio.move_on_after(STAGGER):
                stream = await self._dial(endpoint, without_deadline)
                stream.close()
                self._reachability.connected(endpoint)
                return
        except (ConnectRefused, ConnectFailed):
            self._reachability.failed(endpoint)
        else:
            self._reachability.silent(endpoint)
