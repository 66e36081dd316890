"""The endpoints of a worker's upstreams, as rows for the admin process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

import trio

from splicer.config.schema import Config
from splicer.ipc.queries import EndpointRow
from splicer.model import Endpoint
from splicer.observe.between_frames import between_frames
from splicer.record import Record
from splicer.relay.api import LiveTunnels, TunnelView
from splicer.upstream.loads import Loads
from splicer.upstream.source import EndpointSource
from splicer.upstream.status import EndpointStates

_ROWS = 32  # endpoints in a packet (ipc.wire)
_SLICE = 256  # tunnels looked at before other tasks run …
_FEW = 32  # … and before frames are moved


def endpoints(
    states: EndpointStates, config: Config, source: EndpointSource, loads: Loads, relay: LiveTunnels[Record]
) -> Iterator[list[EndpointRow]]:
    """A row for each endpoint, in batches; [] lets other tasks run.

    Args:
        states: the outcomes of the worker's attempts.
        config: the configuration in force.
        source: knows the endpoints of upstreams that had no attempt yet.
        loads: what each endpoint has to do.
        relay: the worker's relay: an endpoint with a call is shown, however long ago the last attempt was.
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
            rows.append(_row(known.upstream, endpoint, fixed, loads, *state))
    keys = {(known.upstream, known.endpoint) for known in tried}

    def untried(found: Iterable[tuple[Endpoint, str]]) -> None:
        for endpoint, upstream in found:
            if (upstream, str(endpoint)) not in keys:
                keys.add((upstream, str(endpoint)))
                rows.append(_row(upstream, endpoint, fixed, loads, "unknown", None, None))

    untried(_named(config, source))
    live = relay.views()
    for start in range(0, len(live), _SLICE):
        untried(_called(config, between_frames(relay, live[start : start + _SLICE], _FEW)))
        yield []
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]


# Only upstreams whose names no URL chooses: the names of the others aren't known.
def _named(config: Config, source: EndpointSource) -> Iterator[tuple[Endpoint, str]]:
    for upstream in config.upstreams.values():
        if not upstream.host.captures:
            for endpoint in source.known(upstream, upstream.host.text):
                yield endpoint, upstream.name


def _called(config: Config, live: Iterable[TunnelView[Record]]) -> Iterator[tuple[Endpoint, str]]:
    for one in live:
        upstream, endpoint = one.owner.upstream, one.owner.endpoint
        if endpoint is not None and upstream is not None and upstream in config.upstreams:
            yield endpoint, upstream


def _row(
    upstream: str,
    endpoint: Endpoint,
    fixed: set[str],
    loads: Loads,
    state: str,
    failure: str | None,
    since: float | None,
) -> EndpointRow:
    place = endpoint.pod, endpoint.address, endpoint.port
    key = endpoint.address, endpoint.port
    calls = loads.calls(key)
    return EndpointRow(
        upstream, *place, _source(endpoint, fixed), calls, state, failure, since, loads.live(key) - calls
    )


def _source(endpoint: Endpoint, fixed: set[str]) -> str:
    try:
        ip_address(endpoint.pod)
    except ValueError:
        return "hosts" if endpoint.address in fixed else "dns"
    return "literal"
