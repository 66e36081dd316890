"""Metric values in mapped files, in the format of prometheus_client's multi-process mode.

For every increment, prometheus_client's own value takes a lock, checks whether the process has forked, and packs two
numbers. The values here store eight aligned bytes, which takes a fifth of the time; a handshake makes a dozen.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Histogram, values
from prometheus_client.mmap_dict import MmapedDict, mmap_key

_MAX_BYTES = 4 << 20  # size of one file: pods of a Deployment get ever new names, and a file outlives its writer


def values_in(directory: Path, row: int) -> type[Any]:
    """A class for `prometheus_client.values.ValueClass` that keeps its values in files of this directory.

    A value that is already in the file is continued. An increment is not atomic, so only one thread may count. Making a
    value raises OSError when its file is full.

    Args:
        directory: the directory of the files.
        row: the number in their names; no two living processes may have the same.
    """
    files: dict[str, Any] = {}

    class MmapValue:
        __slots__ = ("_at", "_view")
        _multiprocess = True  # the library asks for it

        def __init__(
            self, typ: str, metric_name: str, name: str, labelnames: Any, labelvalues: Any, help_text: str, **_: Any
        ) -> None:
            if typ not in files:
                files[typ] = MmapedDict(str(directory / f"{typ}_{row}.db"))  # type: ignore[no-untyped-call]
            file, key = files[typ], mmap_key(metric_name, name, labelnames, labelvalues, help_text)
            if file._used > _MAX_BYTES and key not in file._positions:
                raise OSError(f"{file._fname} is full")
            file.read_value(key)  # adds the key if it is missing
            self._at = file._positions[key] // 8
            self._view = memoryview(file._m).cast("d")  # valid also after the file grows: a new map has the same pages

        def inc(self, amount: float = 1.0) -> None:
            self._view[self._at] += amount

        def get(self) -> float:
            value: float = self._view[self._at]
            return value

        def get_exemplar(self) -> None:
            return None

    def close() -> None:  # a map stays open as long as a value uses it
        for file in files.values():
            file._f.close()
        files.clear()

    values._multi_process_cleanups.append(close)  # as the library does: for `close_all_multiprocess_files`
    return MmapValue


def recorded(directory: Path, row: int, counter: str) -> Iterator[dict[str, str]]:
    """The labels of a counter's series in the file."""
    file = directory / f"counter_{row}.db"
    if file.exists() and file.stat().st_size:
        for key, *_ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            metric, _, labels, _ = json.loads(key)
            if metric == counter:
                yield labels


class MmapHistogram:
    """One series of a histogram that updates its values directly, without the library's layers above them.

    Args:
        series: the library's series, with all labels given.
    """

    __slots__ = ("_bounds", "_buckets", "_sum")

    def __init__(self, series: Histogram) -> None:
        self._sum, self._bounds, self._buckets = series._sum, series._upper_bounds, series._buckets

    def observe(self, amount: float) -> None:
        """Count a value; `le` is inclusive."""
        self._sum.inc(amount)
        self._buckets[bisect_left(self._bounds, amount)].inc(1.0)


def series(family: Counter | Histogram, *labels: str) -> Any:
    """The counter or histogram of these labels: it has `inc`, or `observe`."""
    child = family.labels(*labels) if labels else family
    return MmapHistogram(child) if isinstance(child, Histogram) else child._value
