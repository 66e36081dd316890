"""What is known of the endpoints: how the last attempt at each went."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address

import trio
from attrs import define, field

from splicer.config.schema import Config
from splicer.ipc.queries import EndpointRow
from splicer.model import Endpoint, Record
from splicer.net.resolve import Resolver

_REMEMBER_SECONDS = 600.0  # seconds after the last attempt
_MOST = 4096
_ROWS = 32  # endpoints in a packet (ipc.wire)
_SILENT = frozenset({"abandoned", "client_gone", "no_descriptor", "pod_draining"})  # no fault of an endpoint's


@define
class _Known:
    pod: str
    failure: str | None
    since: float
    last: float


@define
class EndpointStates:
    """Remembers for a while who could be reached, and who could not."""

    _known: dict[tuple[str, str], _Known] = field(factory=dict, init=False)  # by upstream and endpoint

    def learn(self, record: Record) -> None:
        """Learn from a request's attempts."""
        now = trio.current_time()
        for attempt in record.attempts:
            if attempt.endpoint is None or attempt.failure in _SILENT:
                continue
            key = attempt.upstream, attempt.endpoint
            known = self._known.get(key)
            if known is not None and known.failure == attempt.failure:
                known.last = now
                continue
            if known is None and len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            self._known[key] = _Known(attempt.pod or "", attempt.failure, now, now)

    def rows(self, config: Config, resolver: Resolver, live: Callable[[Endpoint], int]) -> Iterator[list[EndpointRow]]:
        """A row for each endpoint, in batches.

        Args:
            config: the one in force.
            resolver: knows the addresses of upstreams that nobody has tried yet.
            live: how many tunnels and attempts an endpoint has.
        """
        now = trio.current_time()
        self._known = {key: known for key, known in self._known.items() if now - known.last <= _REMEMBER_SECONDS}
        fixed = {address for addresses in config.resolver.hosts.values() for address in addresses}
        rows = []
        for (upstream, where), known in self._known.items():
            if upstream in config.upstreams:
                address, _, port = where.rpartition(":")
                endpoint = Endpoint(known.pod, address.strip("[]"), int(port))
                state = "down" if known.failure else "up", known.failure, round(now - known.since, 3)
                rows.append(_row(upstream, endpoint, fixed, live(endpoint), *state))
        for endpoint, upstream in _untried(config, resolver):
            if (upstream, str(endpoint)) not in self._known:
                rows.append(_row(upstream, endpoint, fixed, live(endpoint), "unknown", None, None))
        for start in range(0, len(rows), _ROWS):
            yield rows[start : start + _ROWS]


# Those whose names no URL chooses.
def _untried(config: Config, resolver: Resolver) -> Iterator[tuple[Endpoint, str]]:
    for upstream in config.upstreams.values():
        if not upstream.host.captures:
            for address in resolver.known(upstream.host.text):
                yield Endpoint(upstream.host.text, address, upstream.port), upstream.name


def _row(
    upstream: str,
    endpoint: Endpoint,
    fixed: set[str],
    live: int,
    state: str,
    failure: str | None,
    since: float | None,
) -> EndpointRow:
    place = endpoint.pod, endpoint.address, endpoint.port
    return EndpointRow(upstream, *place, _source(endpoint, fixed), live, state, failure, since)


def _source(endpoint: Endpoint, fixed: set[str]) -> str:
    try:
        ip_address(endpoint.pod)
    except ValueError:
        return "hosts" if endpoint.address in fixed else "dns"
    return "literal"
