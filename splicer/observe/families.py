"""Families of Prometheus counters and histograms, in files that outlive the process.

This is prometheus_client's multi-process mode with one file for each row of the board instead of each pid: the next
owner of the row continues the counts of the dead one, so no counts are lost and no files are left over. A row never has
two living owners.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Histogram, values
from prometheus_client.metrics_core import Metric

from splicer.observe.mmap_values import recorded, series, values_in

_MIN_FREE_BYTES = 4 << 20  # without room for a mapped page, a write to it kills the process (SIGBUS, mmap(2))


class NullSeries:
    """Counts nothing; used when there is no room for another series."""

    def inc(self, amount: float = 1) -> None:
        """See `Counter`."""

    def observe(self, amount: float) -> None:
        """See `Histogram`."""


class Children(dict[tuple[str, ...], Any]):
    """A family's series by their labels, in a plain dict for speed: a handshake looks up a dozen."""

    def __init__(self, family: Counter | Histogram) -> None:
        super().__init__()
        self.family = family

    def __missing__(self, labels: tuple[str, ...]) -> Any:
        try:
            if _has_room():
                child = self[labels] = series(self.family, *labels)
                return child
        except OSError:  # the directory was removed
            pass
        return NullSeries()


def keep_in(directory: Path | None, row: int) -> list[tuple[str, str]]:
    """Count in files from now on, or, without a directory, in this process's memory only.

    Returns the pairs of route and pod that earlier owners of the row have counted.

    Args:
        directory: the directory of the files of all processes of one edge.
        row: this process's row on the board.

    Raises:
        OSError: the directory has no room.
    """
    if directory is None:
        values.ValueClass = values.MutexValue
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        return []
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    if not _has_room():
        raise OSError(f"{directory} has no room")
    known = [(labels["route"], labels["pod"]) for labels in recorded(directory, row, "splicer_tunnels")]
    values.ValueClass = values_in(directory, row)
    return known


def _has_room() -> bool:
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if directory is None:
        return True
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize >= _MIN_FREE_BYTES


class Families:
    """All metric families of one process."""

    def __init__(self) -> None:
        self._families: list[Children] = []
        self._counter, self._histogram = partial(self._family, Counter), partial(self._family, Histogram)

    def _family(self, kind: type[Counter | Histogram], name: str, text: str, *labels: str, **more: Any) -> Children:
        self._families.append(Children(kind(f"splicer_{name}", text, labels, registry=None, **more)))
        return self._families[-1]

    def collect(self) -> Iterator[Metric]:
        """All series of this process, without their creation times, as in the files."""
        for children in self._families:
            for metric in children.family.collect():
                metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
                yield metric
