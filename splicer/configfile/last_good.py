"""`splicer run --last-good FILE`: what was accepted last outlives this program, for a start that finds a broken file.

A container is started again at a time that nobody chose, and the file may be broken by then: an edge that ended would
take all calls with it that the vault keeps.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Log = Callable[..., None]


class LastGood:
    """Keeps a text.

    Args:
        path: of the file; None: nowhere.
        log: told when it can't be kept.
    """

    def __init__(self, path: Path | None, log: Log) -> None:
        self.path = path
        self._log = log
        self._kept: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is one to go on with."""
        return self.path is not None and self.path.is_file()

    # By a rename: who reads it gets the one or the other, whole.
    def keep(self, text: str) -> None:
        """Keep this one from now on."""
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
