"""The endpoints of a worker's upstreams, as rows for the admin process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address

import trio

from splicer.config.schema import Config
from splicer.ipc.queries import EndpointRow
from splicer.model import Endpoint
from splicer.upstream.source import EndpointSource
from splicer.upstream.status import EndpointStates

_ROWS = 32  # endpoints in a packet (ipc.wire)


def endpoints(
    states: EndpointStates, config: Config, source: EndpointSource, live: Callable[[Endpoint], int]
) -> Iterator[list[EndpointRow]]:
    """A row for each endpoint, in batches.

    Args:
        states: the outcomes of the worker's attempts.
        config: the configuration in force.
        source: knows the endpoints of upstreams that had no attempt yet.
        live: returns the number of tunnels and attempts at an endpoint.
    """
    now = trio.current_time()
    fixed = {address for addresses in config.resolver.hosts.values() for address in addresses}
    tried = states.known()
    rows = []
    for known in tried:
        if known.upstream in config.upstreams:
            address, _, port = known.endpoint.rpartition(":")
            endpoint = Endpoint(known.pod, address.strip("[]"), int(port))
            state = "down" if known.failure else "up", known.failure, round(now - known.since, 3)
            rows.append(_row(known.upstream, endpoint, fixed, live(endpoint), *state))
    keys = {(known.upstream, known.endpoint) for known in tried}
    for endpoint, upstream in _named(config, source):
        if (upstream, str(endpoint)) not in keys:
            rows.append(_row(upstream, endpoint, fixed, live(endpoint), "unknown", None, None))
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]


# Only upstreams whose names no URL chooses: the names of the others aren't known.
def _named(config: Config, source: EndpointSource) -> Iterator[tuple[Endpoint, str]]:
    for upstream in config.upstreams.values():
        if not upstream.host.captures:
            for endpoint in source.known(upstream, upstream.host.text):
                yield endpoint, upstream.name


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
