"""Numbers in mapped files, in the format of prometheus_client's multi-process mode.

Its own value takes a lock, asks whether the process has forked, and packs two numbers for every step: five times what a
step costs here, and a handshake makes a dozen. Ours is one aligned store of eight bytes.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Histogram, values
from prometheus_client.mmap_dict import MmapedDict, mmap_key

_MOST = 4 << 20  # bytes of one file: pods of a Deployment have ever new names, and a file outlives its writer


def values_in(directory: Path, row: int) -> type[Any]:
    """What `prometheus_client.values.ValueClass` may be: its values are kept in files of this directory.

    A value that stands in the file already goes on. A step is not atomic: one thread counts. Making a value raises
    OSError when its file is full.

    Args:
        directory: of the files.
        row: in their names; no other living process may have the same.
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
            if file._used > _MOST and key not in file._positions:
                raise OSError(f"{file._fname} is full")
            file.read_value(key)  # makes it, if it isn't there
            self._at = file._positions[key] // 8
            self._view = memoryview(file._m).cast("d")  # a file that grows is mapped anew, over the same pages

        def inc(self, amount: float = 1.0) -> None:
            self._view[self._at] += amount

        def get(self) -> float:
            value: float = self._view[self._at]
            return value

        def get_exemplar(self) -> None:
            return None

    def close() -> None:  # maps stay as long as somebody counts in them
        for file in files.values():
            file._f.close()
        files.clear()

    values._multi_process_cleanups.append(close)  # as the library's own: for `close_all_multiprocess_files`
    return MmapValue


def recorded(directory: Path, row: int, counter: str) -> Iterator[dict[str, str]]:
    """The labels of a counter's series that stand in the file."""
    file = directory / f"counter_{row}.db"
    if file.exists() and file.stat().st_size:
        for key, *_ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            metric, _, labels, _ = json.loads(key)
            if metric == counter:
                yield labels


class MmapHistogram:
    """A histogram's series, without the library's layers above its values.

    Args:
        series: with all labels given.
    """

    __slots__ = ("_bounds", "_buckets", "_sum")

    def __init__(self, series: Histogram) -> None:
        self._sum, self._bounds, self._buckets = series._sum, series._upper_bounds, series._buckets

    def observe(self, amount: float) -> None:
        """Count a value; `le` is inclusive."""
        self._sum.inc(amount)
        self._buckets[bisect_left(self._bounds, amount)].inc(1.0)


def series(family: Counter | Histogram, *labels: str) -> Any:
    """What counts for these labels: it has `inc`, or `observe`."""
    child = family.labels(*labels) if labels else family
    return MmapHistogram(child) if isinstance(child, Histogram) else child._value
