"""What processes have counted in their files, as a scrape reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

Counted = dict[str, float]
"""By series: ``requests_total{method="GET",route="call",status="1xx"}``; every name begins with ``splicer_``."""


def families(directory: Path) -> dict[str, Metric]:
    """All that is there, by name."""
    files = [str(file) for file in directory.glob("*.db")]
    merged = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]  # the library doesn't say
    return {metric.name.removeprefix("splicer_"): metric for metric in merged}


def counted(directory: Path) -> Counted:
    """All series and their values."""
    series = {}
    for metric in families(directory).values():
        for sample in metric.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            name = sample.name.removeprefix("splicer_")
            series[f"{name}{{{labels}}}" if labels else name] = sample.value
    return series


@contextmanager
def counting(directory: Path) -> Iterator[Counted]:
    """What was counted within, without the buckets of histograms."""
    before, found = counted(directory), Counted()
    yield found
    for series, value in counted(directory).items():
        if value != before.get(series, 0) and "_bucket{" not in series:
            found[series] = round(value - before.get(series, 0), 6)


def bounds(directory: Path, name: str) -> list[str]:
    """The buckets of a histogram."""
    samples = families(directory)[name].samples
    return list(dict.fromkeys(sample.labels["le"] for sample in samples if sample.name.endswith("_bucket")))
