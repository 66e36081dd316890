"""Families of Prometheus counters and histograms, in files that outlive the process.

There is one pair of files for each row of the board, and not for each process: the next owner of the row continues the
counts of the dead one, so no counts are lost and no files are left over. A row never has two living owners.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from splicer.observe.samples import Family, Sample, number_text
from splicer.observe.series import Count, Counts, Distribution, FileCounts, MemoryCounts

_MIN_FREE_BYTES = 4 << 20  # without room for a mapped page, a write to it kills the process (SIGBUS, mmap(2))
_INFINITE = float("inf")


class _Kept:
    counts: Counts = MemoryCounts()


class NullSeries:
    """Counts nothing; used when there is no room for another series."""

    def inc(self, amount: float = 1) -> None:
        """See `series.Count`."""

    def observe(self, amount: float) -> None:
        """See `series.Distribution`."""


class Children(dict[tuple[str, ...], Any]):
    """A family's series by their labels, in a plain dict for speed: a handshake looks up a dozen.

    Args:
        kind: "counter" or "histogram".
        name: the family's name.
        text: what it counts.
        labels: the names of the labels.
        bounds: the upper bounds of a histogram's buckets, but the infinite one.
    """

    def __init__(self, kind: str, name: str, text: str, labels: Sequence[str], bounds: Sequence[float] = ()) -> None:
        super().__init__()
        self._counts = _Kept.counts
        self._kind, self._name, self._text, self._labels = kind, name, text, labels
        self._bounds = (*map(float, bounds), _INFINITE)

    def __missing__(self, labels: tuple[str, ...]) -> Any:
        try:
            if _has_room(self._counts):
                child = self[labels] = self._series(dict(zip(self._labels, labels, strict=True)))
                return child
        except OSError:  # the directory was removed
            pass
        return NullSeries()

    def collect(self) -> Family:
        """All series of this process."""
        family = Family(self._name, self._text, self._kind)
        for values, series in self.items():
            labels = dict(zip(self._labels, values, strict=True))
            family.samples += [
                Sample(f"{self._name}_{name}", {**labels, **more}, value)
                for name, more, value in _read(series, self._bounds)
            ]
        return family

    def _series(self, labels: dict[str, str]) -> Count | Distribution:
        make = partial(self._counts.count, self._kind, self._name, text=self._text)
        if self._kind == "counter":
            return make(name=f"{self._name}_total", labels=labels)
        total = make(name=f"{self._name}_sum", labels=labels)
        bucket = f"{self._name}_bucket"
        buckets = [make(name=bucket, labels={**labels, "le": number_text(bound)}) for bound in self._bounds]
        return Distribution(self._bounds, total, buckets)


def _read(series: Count | Distribution, bounds: Sequence[float]) -> Iterator[tuple[str, dict[str, str], float]]:
    if isinstance(series, Count):
        yield "total", {}, series.get()
        return
    below = 0.0
    for bound, below in zip(bounds, accumulate(bucket.get() for bucket in series.buckets), strict=True):
        yield "bucket", {"le": number_text(bound)}, below
    yield "count", {}, below
    yield "sum", {}, series.total.get()


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
        _Kept.counts = MemoryCounts()
        return []
    counts = FileCounts(directory, row)
    if not _has_room(counts):
        raise OSError(f"{directory} has no room")
    _Kept.counts = counts
    return [(labels["route"], labels["pod"]) for labels in counts.recorded("splicer_tunnels")]


def _has_room(counts: Counts) -> bool:
    if not isinstance(counts, FileCounts):
        return True
    space = os.statvfs(counts.directory)
    return space.f_bavail * space.f_frsize >= _MIN_FREE_BYTES


class Families:
    """All metric families of one process."""

    def __init__(self) -> None:
        self._families: list[Children] = []
        self._counter, self._histogram = partial(self._family, "counter"), partial(self._family, "histogram")

    def _family(self, kind: str, name: str, text: str, *labels: str, buckets: Sequence[float] = ()) -> Children:
        self._families.append(Children(kind, f"splicer_{name}", text, labels, buckets))
        return self._families[-1]

    def collect(self) -> Iterator[Family]:
        """All series of this process."""
        return (children.collect() for children in self._families)
