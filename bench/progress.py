"""Progress of a run: a bar with the remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO


class Progress(Protocol):
    """An observer of the run's progress."""

    def begin(self, seconds: float) -> None:
        """Set the estimated length of the whole run, in seconds."""

    def now(self, what: str) -> None:
        """Show what runs now."""

    def done(self, seconds: float) -> None:
        """Add the estimated seconds of a part that is done."""

    def end(self) -> None:
        """End: nothing runs any more."""


class Lines:
    """A line for each part of the run.

    Args:
        to: a text stream.
    """

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._begun = time.monotonic()
        self._whole = 0.0
        self._over = 0.0

    def begin(self, seconds: float) -> None:
        """See `Progress`."""
        self._whole = seconds
        self._say(f"about {_clock(seconds)}")

    def now(self, what: str) -> None:
        """See `Progress`."""
        self._say(f"{self._over / self._whole if self._whole else 0:4.0%}  {what}")

    def done(self, seconds: float) -> None:
        """See `Progress`."""
        self._over += seconds

    def end(self) -> None:
        """See `Progress`."""
        self._say(f"done in {_clock(time.monotonic() - self._begun)}")

    def _say(self, line: str) -> None:
        self._to.write(f"{line}\n")
        self._to.flush()


class Bar:
    """A progress bar on one line."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("gone,"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        console = Console(stderr=True)
        self._bar = RichProgress(*columns, console=console, transient=True, speed_estimate_period=900)
        self._task = self._bar.add_task("starting", total=None)

    def begin(self, seconds: float) -> None:
        """See `Progress`."""
        self._bar.update(self._task, total=seconds)
        self._bar.start()

    def now(self, what: str) -> None:
        """See `Progress`."""
        self._bar.update(self._task, description=what)

    def done(self, seconds: float) -> None:
        """See `Progress`."""
        self._bar.advance(self._task, seconds)

    def end(self) -> None:
        """See `Progress`."""
        self._bar.stop()


def progress() -> Progress:
    """A bar if standard error is a terminal, else lines."""
    return Bar() if sys.stderr.isatty() else Lines(sys.stderr)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
