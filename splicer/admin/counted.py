"""What all processes have counted: the sums over the files of all rows, also of dead processes."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from splicer.admin.current_config import CurrentConfig
from splicer.admin.sums import sums
from splicer.observe.discovery_metrics import DiscoveryMetrics
from splicer.observe.metrics import Metrics
from splicer.observe.samples import Family, Sample


class Counted:
    """Reads the counters and histograms.

    Args:
        directory: of the metrics' files; None: there are no files.
        current: the configuration in force: its routes and upstreams have series from the start.
    """

    def __init__(self, directory: Path | None, current: CurrentConfig) -> None:
        self._directory = directory
        self._current = current
        self._nothing = Metrics(), DiscoveryMetrics()  # count nothing; they give all series with their initial values

    def __call__(self) -> dict[str, Family]:
        """All families, by name."""
        config = self._current.now
        if config is not None:
            self._nothing[0].know(config.routes)
            self._nothing[1].know(config.upstreams.values())
        counted = {} if self._directory is None else sums(self._directory.glob("*.db"))
        for metric in chain.from_iterable(families.collect() for families in self._nothing):
            known = counted.setdefault(metric.name, metric)
            if known is not metric:
                there = {_key(sample) for sample in known.samples}
                known.samples += [sample for sample in metric.samples if _key(sample) not in there]
        return counted


def _key(sample: Sample) -> tuple[str, frozenset[tuple[str, str]]]:
    return sample.name, frozenset(sample.labels.items())
