"""Routes that are no longer in the file: their series stay for an hour, so that it is seen how they ended.

The counts stay in the files of the rows, each of which goes on with its next process; what is past is left out of the
text. Since when is kept beside them: this process may be killed at any time.
"""

from __future__ import annotations

import json
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from time import monotonic

_STAY = 3600.0  # seconds
_FILE = "removed_routes.json"


class RemovedRoutes:
    """Knows since when a route has been unused, on the machine's monotonic clock.

    Args:
        directory: of the files in which is counted; None: this process alone knows.
    """

    def __init__(self, directory: Path | None) -> None:
        self._file = None if directory is None else directory / _FILE
        self._since = self._read()

    def past(self, counted: Set[str], used: Set[str]) -> Set[str]:
        """Those whose series are to be left out.

        Args:
            counted: all that have series.
            used: those that are in the file, or have calls.
        """
        now = monotonic()
        since = {route: self._since.get(route, now) for route in counted - used}
        if since != self._since:
            self._since = since
            self._write()
        return {route for route, begun in since.items() if now - begun >= _STAY}

    # Whatever is wrong with the file: then they stay for an hour from now.
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
