"""The gauges of discovery, made of the endpoint snapshot at the scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from splicer.ipc.endpoint_memory import EndpointMemory


def discovery_metrics(memory: EndpointMemory, restarts: int) -> Iterator[Metric]:
    """The families.

    Args:
        memory: the memory of the endpoint snapshot.
        restarts: how many discovery processes have died.
    """
    yield CounterMetricFamily("splicer_discovery_restarts", "Discovery processes that died.", value=restarts)
    yield GaugeMetricFamily(
        "splicer_endpoint_snapshot_generation", "How often the snapshot was published.", value=memory.sequence
    )
