"""The series of Prometheus counters and histograms: a count is eight aligned bytes, in a file or in memory.

prometheus_client's own take five times as long: for every increment they take a lock, check whether the process has
forked, and pack two numbers. A handshake makes a dozen.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from splicer.observe.count_file import CountFile, read_counts

_as_key = json.JSONEncoder(sort_keys=True).encode


class Count:
    """A counter's series.

    Args:
        memory: where it is; it stays there.
        place: the number of its eight bytes there.
    """

    __slots__ = ("_memory", "_place")

    def __init__(self, memory: memoryview[float] | array[float], place: int) -> None:
        self._memory = memory
        self._place = place

    def inc(self, amount: float = 1.0) -> None:
        """Count something."""
        self._memory[self._place] += amount

    def get(self) -> float:
        """The count so far."""
        return self._memory[self._place]


class Distribution:
    """A histogram's series.

    Args:
        bounds: of the buckets, in order; the last is infinite.
        total: the sum of all values.
        buckets: one for each bound; each counts what is in no bucket before it.
    """

    __slots__ = ("_bounds", "buckets", "total")

    def __init__(self, bounds: Sequence[float], total: Count, buckets: Sequence[Count]) -> None:
        self._bounds = bounds
        self.total = total
        self.buckets = buckets

    def observe(self, amount: float) -> None:
        """Count a value; a bound belongs to its bucket."""
        total, bucket = self.total, self.buckets[bisect_left(self._bounds, amount)]
        total._memory[total._place] += amount  # as `inc` does; a call measures four things
        bucket._memory[bucket._place] += 1.0


class Counts(Protocol):
    """Where counts are kept."""

    def count(self, kind: str, family: str, name: str, labels: Mapping[str, str], text: str) -> Count:
        """Make a count, or go on with it.

        Args:
            kind: "counter" or "histogram".
            family: the family's name.
            name: of the sample.
            labels: by their names.
            text: what the family counts.

        Raises:
            OSError: there is no room for another count.
        """


class MemoryCounts(Counts):
    """Counts in this process's memory, which are gone with it."""

    def count(self, kind: str, family: str, name: str, labels: Mapping[str, str], text: str) -> Count:
        """See `Counts`."""
        return Count(array("d", [0.0]), 0)


class FileCounts(Counts):
    """Counts in files, one for counters and one for histograms.

    Args:
        directory: of the files.
        row: the number in their names; no two living processes may have the same.
    """

    def __init__(self, directory: Path, row: int) -> None:
        self.directory = directory
        self._row = row
        self._files: dict[str, CountFile] = {}

    def count(self, kind: str, family: str, name: str, labels: Mapping[str, str], text: str) -> Count:
        """See `Counts`."""
        if kind not in self._files:
            self._files[kind] = CountFile(self._path(kind))
        return Count(*self._files[kind].place(_as_key([family, name, labels, text])))

    def recorded(self, counter: str) -> Iterator[Mapping[str, str]]:
        """The labels of a counter's series that are in the file already."""
        path = self._path("counter")
        for key, _ in read_counts(path) if path.exists() else ():
            family, _, labels, _ = json.loads(key)
            if family == counter:
                yield labels

    def close(self) -> None:
        """Make no new counts."""
        for file in self._files.values():
            file.close()

    def _path(self, kind: str) -> Path:
        return self.directory / f"{kind}_{self._row}.db"
