"""Routes that are no longer in the file: their series stay in the metrics for an hour, so that scrapers see their end.

The counts stay in the files of the rows; after that hour they are left out of the text. The times are kept in a file
beside them, because the admin process may be killed at any time.
"""

from __future__ import annotations

import json
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from time import monotonic

_KEEP_SECONDS = 3600.0  # seconds for which the series of a removed route stay
_FILE = "removed_routes.json"


class RemovedRoutes:
    """The times since when removed routes have been unused, on the machine's monotonic clock.

    Args:
        directory: the directory of the metrics' files; None: the times are kept in this process only.
    """

    def __init__(self, directory: Path | None) -> None:
        self._file = None if directory is None else directory / _FILE
        self._since = self._read()

    def past(self, counted: Set[str], used: Set[str]) -> Set[str]:
        """The routes whose series must be left out.

        Args:
            counted: all routes that have series.
            used: routes that are in the file, or have calls.
        """
        now = monotonic()
        since = {route: self._since.get(route, now) for route in counted - used}
        if since != self._since:
            self._since = since
            self._write()
        return {route for route, begun in since.items() if now - begun >= _KEEP_SECONDS}

    # If anything is wrong with the file, the series stay for an hour from now.
    def _read(self) -> dict[str, float]:
        if self._file is not None:
            with suppress(OSError, ValueError, TypeError, AttributeError):
                return {str(route): float(begun) for route, begun in json.loads(self._file.read_text()).items()}
        return {}

    def _write(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                new = self._file.with_suffix(".new")
                new.write_text(json.dumps(self._since))
                new.replace(self._file)
