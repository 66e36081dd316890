"""An operator's drains in one worker, with the addresses of drained pods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address

import trio
from attrs import evolve

from splicer.errors import SplicerError
from splicer.ipc.facts import OperatorDrains
from splicer.model import Upstream
from splicer.routing.template import render_host
from splicer.session.context import Drains
from splicer.upstream.source import EndpointSource

_LOOKUP_INTERVAL = 2.0  # seconds: a drained pod that is recreated with another address stays drained
_LOOKUP_TIMEOUT = 2.0  # seconds for a pod's name


class DrainOrders:
    """Keeps the drains and the addresses of drained pods: names that no URL chooses may have these addresses too.

    Args:
        tell: called with the drains whenever they change.
        upstreams: returns the upstreams in force.
        source: returns the source of the worker's endpoints.
        failed: called with the error if a lookup hits a bug; lookups go on all the same.
    """

    def __init__(
        self,
        tell: Callable[[Drains], None],
        upstreams: Callable[[], Mapping[str, Upstream]],
        source: Callable[[], EndpointSource],
        failed: Callable[[Exception], None],
    ) -> None:
        self._tell = tell
        self._upstreams = upstreams
        self._source = source
        self._failed = failed
        self._now = Drains()
        self._addresses: dict[str, frozenset[str]] = {}  # by pod

    async def follow(self, wanted: OperatorDrains) -> None:
        """Follow new drains; returns when the pods' addresses were looked up, or the lookup has failed.

        Args:
            wanted: names of pods and of routes, each with the start time of its drain.
        """
        self._set(Drains(frozenset(wanted.pods), frozenset(wanted.routes), self._now.endpoints))
        self._addresses = {pod: known for pod, known in self._addresses.items() if pod in self._now.pods}
        await self._look_up()

    async def run(self) -> None:
        """Look the pods' addresses up again and again, until cancelled."""
        while True:
            await trio.sleep(_LOOKUP_INTERVAL)
            try:
                await self._look_up()
            except Exception as error:  # noqa: BLE001 - logged; it must not end every worker with the same drains
                self._failed(error)

    async def _look_up(self) -> None:
        found: dict[str, set[str]] = {pod: set() for pod in self._now.pods}
        async with trio.open_nursery() as nursery:
            for pod, addresses in found.items():
                self._find(pod, addresses, nursery)
        self._addresses |= {pod: frozenset(addresses) for pod, addresses in found.items() if addresses}
        ports = {upstream.port for upstream in self._upstreams().values()}
        known = [address for pod in self._now.pods for address in self._addresses.get(pod, ())]
        places = {(address, port) for address in known for port in ports}
        places |= {(each.address, each.port) for each in self._source().of_pods(self._now.pods)}
        self._set(evolve(self._now, endpoints=frozenset(places)))

    # All names are looked up at once: with name servers that are down, the caller waits for one timeout only.
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
            found = await self._source().find(upstream, render_host(upstream.host, {capture: pod}))
            addresses.update(endpoint.address for endpoint in found.endpoints)

    def _set(self, drains: Drains) -> None:
        if drains != self._now:
            self._now = drains
            self._tell(drains)
