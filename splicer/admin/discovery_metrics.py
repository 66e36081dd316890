"""The gauges of discovery, made of the endpoint snapshot at the scrape."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from splicer.upstream.snapshot import EndpointSnapshot


def discovery_metrics(snapshot: EndpointSnapshot, restarts: int) -> Iterator[Metric]:
    """The families. Without discovery there is one series for no Service.

    Args:
        snapshot: the endpoint snapshot.
        restarts: how many discovery processes have died.
    """
    services, now = snapshot.services, time.monotonic()
    synced = GaugeMetricFamily("splicer_discovery_synced", "Whether rows are current.", labels=("service",))
    unsynced = GaugeMetricFamily("splicer_discovery_unsynced_seconds", "For how long not.", labels=("service",))
    for service, found in services.items():
        current = snapshot.is_current(found)
        synced.add_metric((service,), current)
        unsynced.add_metric((service,), 0 if current else max(0.0, now - snapshot.stale_since(found)))
    if not services:
        for family in (synced, unsynced):
            family.add_metric(("",), 0)
    yield synced
    yield unsynced
    yield CounterMetricFamily("splicer_discovery_restarts", "Discovery processes that died.", value=restarts)
    yield GaugeMetricFamily(
        "splicer_endpoint_snapshot_generation", "How often the snapshot was published.", value=snapshot.current
    )
