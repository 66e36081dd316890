"""What an operator wants to become empty, followed by one worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address

import trio
from attrs import evolve

from splicer.errors import SplicerError
from splicer.ipc.wire import Message
from splicer.model import Upstream
from splicer.net.resolve import Resolver
from splicer.routing.template import render_host
from splicer.session.context import Drains

_LOOKUP_INTERVAL = 2.0  # seconds: a drained pod that is recreated elsewhere is drained there, too
_LOOKUP_TIMEOUT = 2.0  # seconds for its name


class DrainOrders:
    """Knows the drains, and the addresses of drained pods: they also stand behind names that no URL chooses.

    Args:
        tell: gets the drains whenever they are others.
        upstreams: those in force.
        resolver: the worker's.
        failed: is told of a bug; it is looked again all the same.
    """

    def __init__(
        self,
        tell: Callable[[Drains], None],
        upstreams: Callable[[], Mapping[str, Upstream]],
        resolver: Callable[[], Resolver],
        failed: Callable[[Exception], None],
    ) -> None:
        self._tell = tell
        self._upstreams = upstreams
        self._resolver = resolver
        self._failed = failed
        self._now = Drains()
        self._addresses: dict[str, frozenset[str]] = {}  # by pod

    async def follow(self, wanted: Message) -> None:
        """Let nothing new go where the operator doesn't want it; done when the addresses are known, or can't be.

        Args:
            wanted: names of pods and of routes, each with the time from which on.
        """
        self._set(Drains(frozenset(wanted["pods"]), frozenset(wanted["routes"]), self._now.endpoints))
        self._addresses = {pod: known for pod, known in self._addresses.items() if pod in self._now.pods}
        await self._look_up()

    async def run(self) -> None:
        """Follow the pods' addresses until cancelled."""
        while True:
            await trio.sleep(_LOOKUP_INTERVAL)
            try:
                await self._look_up()
            except Exception as error:  # noqa: BLE001 - told of; every worker that will ever start follows the same
                self._failed(error)

    async def _look_up(self) -> None:
        found: dict[str, set[str]] = {pod: set() for pod in self._now.pods}
        async with trio.open_nursery() as nursery:
            for pod, addresses in found.items():
                self._find(pod, addresses, nursery)
        self._addresses |= {pod: frozenset(addresses) for pod, addresses in found.items() if addresses}
        ports = {upstream.port for upstream in self._upstreams().values()}
        known = [address for pod in self._now.pods for address in self._addresses.get(pod, ())]
        self._set(evolve(self._now, endpoints=frozenset((address, port) for address in known for port in ports)))

    # All names at once: with name servers that are down, whoever waits for this waits once.
    def _find(self, pod: str, addresses: set[str], nursery: trio.Nursery) -> None:
        try:
            addresses.add(str(ip_address(pod)))
        except ValueError:
            for upstream in self._upstreams().values():
                if len(upstream.host.captures) == 1:
                    nursery.start_soon(self._resolve, upstream, pod, addresses)

    async def _resolve(self, upstream: Upstream, pod: str, addresses: set[str]) -> None:
        [capture] = upstream.host.captures
        with suppress(SplicerError), trio.move_on_after(_LOOKUP_TIMEOUT):
            answer = await self._resolver().resolve(render_host(upstream.host, {capture: pod}))
            addresses.update(answer.addresses)

    def _set(self, drains: Drains) -> None:
        if drains != self._now:
            self._now = drains
            self._tell(drains)
