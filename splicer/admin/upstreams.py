"""The upstreams and their endpoints, merged from the answers of all workers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from splicer.admin.discovered import Discovered
from splicer.config.schema import Config
from splicer.ipc.codec import to_object
from splicer.ipc.queries import EndpointRow
from splicer.model import Upstream


def listed(config: Config, rows: Iterable[EndpointRow], discovered: Discovered | None = None) -> list[dict[str, Any]]:
    """All upstreams, each with its endpoints.

    Args:
        config: the configuration in force.
        rows: the workers' answers.
        discovered: what discovery knows; None: nothing.
    """
    rows = rows if discovered is None else discovered.rows(rows)
    merged: dict[str, dict[tuple[str, str, int], EndpointRow]] = {name: {} for name in config.upstreams}
    for row in rows:
        endpoints = merged.get(row.upstream)
        if endpoints is not None:
            key = row.pod, row.address, row.port
            endpoints[key] = _merged(endpoints[key], row) if key in endpoints else row
    _share_loads(list(merged.values()))
    return [_upstream(upstream, merged[name], discovered) for name, upstream in config.upstreams.items()]


# What an endpoint has to do is counted by its address and port, and so are its limits. A worker says all that it has
# there, but has no row for an upstream through which it has tried nothing.
def _share_loads(upstreams: Collection[dict[tuple[str, str, int], EndpointRow]]) -> None:
    most: dict[tuple[str, int], tuple[int, int]] = {}
    for endpoints in upstreams:
        for row in endpoints.values():
            tunnels, requests = most.get((row.address, row.port), (0, 0))
            most[row.address, row.port] = max(tunnels, row.tunnels), max(requests, row.requests)
    for endpoints in upstreams:
        for key, row in endpoints.items():
            tunnels, requests = most[row.address, row.port]
            endpoints[key] = replace(row, tunnels=tunnels, requests=requests)


def newer(one: EndpointRow, other: EndpointRow) -> EndpointRow:
    """Of two workers' rows about an endpoint, the one with the newer attempt: each knows only its own attempts."""
    return one if _age(one) <= _age(other) else other


def _merged(one: EndpointRow, other: EndpointRow) -> EndpointRow:
    return replace(newer(one, other), tunnels=one.tunnels + other.tunnels, requests=one.requests + other.requests)


def _age(row: EndpointRow) -> float:
    return float("inf") if row.state == "unknown" or row.since_s is None else row.since_s


def _upstream(
    upstream: Upstream, endpoints: dict[tuple[str, str, int], EndpointRow], discovered: Discovered | None
) -> dict[str, Any]:
    return {
        "name": upstream.name,
        "address": upstream.text,
        "balance": upstream.balance,
        "allow": None if upstream.allow is None else [str(network) for network in upstream.allow],
        "max_tunnels": upstream.max_tunnels,
        "max_requests": upstream.max_requests,
        "endpoints": [
            {key: value for key, value in to_object(row).items() if key != "upstream"}
            | ({} if discovered is None else discovered.fields(row))
            for _, row in sorted(endpoints.items())
        ],
    }
