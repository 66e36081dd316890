"""The gauges of discovery, made of the endpoint snapshot at the scrape."""

from __future__ import annotations

import time
from collections.abc import Iterator

from splicer.observe.samples import Family, counter, gauge
from splicer.upstream.snapshot import EndpointSnapshot


def discovery_metrics(snapshot: EndpointSnapshot, restarts: int) -> Iterator[Family]:
    """The families. Without discovery there is one series for no Service.

    Args:
        snapshot: the endpoint snapshot.
        restarts: how many discovery processes have died.
    """
    services, now = snapshot.services, time.monotonic()
    synced = gauge("splicer_discovery_synced", "Whether rows are current.", labels=("service",))
    unsynced = gauge("splicer_discovery_unsynced_seconds", "For how long not.", labels=("service",))
    for service, found in services.items():
        current = snapshot.is_current(found)
        synced.add((service,), current)
        unsynced.add((service,), 0 if current else max(0.0, now - snapshot.stale_since(found)))
    if not services:
        for family in (synced, unsynced):
            family.add(("",), 0)
    yield synced
    yield unsynced
    yield counter("splicer_discovery_restarts", "Discovery processes that died.", value=restarts)
    yield gauge("splicer_endpoint_snapshot_generation", "How often the snapshot was published.", value=snapshot.current)
