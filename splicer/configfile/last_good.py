"""`splicer run --last-good FILE`: the last accepted configuration is kept on disk, for a start with a broken file.

A container may restart at any time, and routing.toml may be broken by then. If the edge refused to start, all calls
that the vault keeps would be lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Log = Callable[..., None]


class LastGood:
    """The file that keeps the last accepted configuration.

    Args:
        path: the file's path; None: nothing is kept.
        log: called when the file can't be written.
    """

    def __init__(self, path: Path | None, log: Log) -> None:
        self.path = path
        self._log = log
        self._kept: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is a kept configuration to start with."""
        return self.path is not None and self.path.is_file()

    # Renamed into place, so that a reader sees the old file or the new one, never a part.
    def keep(self, text: str) -> None:
        """Replace the kept configuration by this text."""
        if self.path is None or text == self._kept:
            return
        new = self.path.with_name(f".{self.path.name}.new")
        try:
            with suppress(FileNotFoundError):
                new.unlink()
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            new.replace(self.path)
        except OSError as error:
            self._log("config_not_kept", level="error", file=str(self.path), error=error.strerror)
        else:
            self._kept = text
