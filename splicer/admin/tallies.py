"""What all processes have counted, as plain numbers: a tenth of the work of a scrape, for what is read each second."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from splicer.observe.count_file import read_counts


@frozen
class Tally:
    """A sample of one process.

    Args:
        name: of the sample: "splicer_requests_total".
        labels: by name.
        value: of a bucket, without those below it.
    """

    name: str
    labels: dict[str, str]
    value: float


class Tallies:
    """Reads the samples of some families.

    Args:
        directory: of the metrics' files; None: there are no files.
        names: of the samples that are wanted.
    """

    def __init__(self, directory: Path | None, names: frozenset[str]) -> None:
        self._directory = directory
        self._names = names
        self._keys: dict[str, tuple[str, dict[str, str]] | None] = {}  # None: it is not wanted

    def __call__(self) -> Iterator[Tally]:
        """All samples, those of a series once for each process that has counted it."""
        for path in () if self._directory is None else sorted(self._directory.glob("*.db")):
            for key, value in read_counts(path):
                if key not in self._keys:
                    self._keys[key] = self._read(key)
                if (read := self._keys[key]) is not None:
                    yield Tally(*read, value)

    def forget(self) -> None:
        """Forget the series that were seen."""
        self._keys.clear()

    def _read(self, key: str) -> tuple[str, dict[str, str]] | None:
        _, name, labels, _ = json.loads(key)
        return (name, labels) if name in self._names else None
