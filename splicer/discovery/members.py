"""The endpoints of upstreams that are judged or checked: rows of a Service, addresses of a name, or names in use."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import trio

from splicer.config.schema import Config, ResolverSettings
from splicer.discovery.checks import Target
from splicer.discovery.names_in_use import NamesInUse, Used
from splicer.errors import SplicerError
from splicer.ipc.endpoint_reports import UsedRow
from splicer.model import Endpoint, Upstream
from splicer.net.resolve import Resolver
from splicer.policy.allowed import allowed
from splicer.policy.endpoint_flags import READY, KnownEndpoint
from splicer.policy.outlier import Key
from splicer.proxyproto.outgoing import local_header
from splicer.upstream.snapshot import Found

_LOOK_INTERVAL = 5.0  # seconds; the resolver's cache decides how often name servers are asked
_CALM_SECONDS = 0.1  # between two looks, if a lot changes


class Members:
    """Knows the endpoints of upstreams.

    Args:
        nursery: where lookups run.
        found: returns what discovery has found, by Service.
        clock: returns seconds.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        found: Callable[[], Mapping[str, Found]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nursery = nursery
        self._found = found
        self._names = NamesInUse(clock)
        self._upstreams: dict[str, Upstream] = {}
        self._resolver: tuple[tuple[ResolverSettings, float], Resolver] | None = None
        self._changed = trio.Event()
        self._renewed = trio.Event()  # there may be other names

    def use(self, config: Config) -> None:
        """Know the upstreams of another configuration."""
        self._upstreams = {name: upstream for name, upstream in config.upstreams.items() if upstream.is_judged}
        lifetime = max((route.deadlines.resolve for route in config.routes), default=math.inf)
        settings = config.resolver, lifetime
        if self._resolver is None or self._resolver[0] != settings:
            self._resolver = settings, Resolver(config.resolver, nursery=self._nursery, lifetime=lifetime)
        self._renewed.set()
        self.look_again()

    def used(self, rows: Iterable[UsedRow]) -> None:
        """Take a worker's report of names in use."""
        new = [self._names.add(Used(row.upstream, row.host, row.address, row.port)) for row in rows]
        if any(new):
            self.look_again()

    def look_again(self) -> None:
        """Something may have changed."""
        self._changed.set()

    def known(self, name: str) -> frozenset[Key]:
        """The endpoints of an upstream that could get a call, by its name; there is no lookup."""
        upstream = self._upstreams.get(name)
        if upstream is None:
            return frozenset()
        return frozenset((each.address, each.port) for each, _, ready in self._endpoints(upstream) if ready)

    def targets(self) -> Iterator[Target]:
        """All endpoints that are to be checked: those that are not ready too, for they may be soon."""
        for upstream in self._upstreams.values():
            if (check := upstream.health_check) is not None:
                first = b"" if upstream.proxy_protocol is None else local_header(upstream.proxy_protocol)
                tls = upstream.tls if check.path is not None and check.port is None else None
                for endpoint, host, _ in self._endpoints(upstream):
                    proof = None if tls is None else tls.proof(upstream.name, upstream.host, host)
                    yield Target(upstream.name, endpoint, host, check, upstream.allow, first, proof)

    async def run(self, changed: Callable[[], None]) -> None:
        """Look names up and forget those that are out of use; until cancelled.

        Args:
            changed: called when `targets` may have changed.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_resolved)
            while True:
                self._changed = trio.Event()
                self._names.expire()
                changed()
                await trio.sleep(_CALM_SECONDS)
                with trio.move_on_after(_LOOK_INTERVAL):
                    await self._changed.wait()

    async def _keep_resolved(self) -> None:
        while True:
            self._renewed = trio.Event()
            await self._look_up()
            self.look_again()
            with trio.move_on_after(_LOOK_INTERVAL):
                await self._renewed.wait()

    async def _look_up(self) -> None:
        async with trio.open_nursery() as nursery:
            for upstream in self._upstreams.values():
                if not upstream.host.captures and self._rows(upstream) is None:
                    nursery.start_soon(self._resolve, upstream.host.text)

    # The resolver has a deadline of its own, and the last good answer stays known.
    async def _resolve(self, name: str) -> None:
        assert self._resolver is not None  # noqa: S101 - it comes with the upstreams
        try:
            await self._resolver[1].resolve(name)
        except SplicerError:
            return

    def _rows(self, upstream: Upstream) -> tuple[KnownEndpoint, ...] | None:
        if upstream.service is None:
            return None
        found = self._found().get(upstream.service.key)
        return None if found is None else found.rows

    def _endpoints(self, upstream: Upstream) -> Iterator[tuple[Endpoint, str, bool]]:
        """Those that may be dialled, each with the host that leads there, and whether it is ready."""
        rows = self._rows(upstream)
        known = self._named(upstream) if rows is None else _of_service(upstream, rows)
        return (each for each in known if allowed(each[0].address, upstream.allow))

    def _named(self, upstream: Upstream) -> Iterator[tuple[Endpoint, str, bool]]:
        if upstream.host.captures:
            for used in self._names.of(upstream.name):
                yield Endpoint(used.host.partition(".")[0], used.address, used.port), used.host, True
        elif self._resolver is not None and upstream.port:
            host = upstream.host.text
            for address in self._resolver[1].known(host):
                yield Endpoint(host, address, upstream.port), host, True


def _of_service(upstream: Upstream, rows: Iterable[KnownEndpoint]) -> Iterator[tuple[Endpoint, str, bool]]:
    for row in rows:
        yield Endpoint(row.pod, row.address, row.port), _host(upstream, row.pod), bool(row.flags & READY)


def _host(upstream: Upstream, pod: str) -> str:
    """The host of a pod: what the upstream's template gives for it."""
    if not upstream.host.captures:
        return upstream.host.text
    return f"{pod}.{upstream.host.text.rpartition('}')[2].partition('.')[2]}"
