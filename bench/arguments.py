"""What the bench's commands share: one-line errors, paths in help texts, durations."""

from __future__ import annotations

import argparse
import math
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_USAGE = 2
_MIN_SECONDS = 0.1  # seconds of a load


class Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser.error`."""
        self.exit(_USAGE, f"{self.prog}: {' '.join(message.split())}\n")


def shown(path: Path) -> str:
    """A path in a help text: relative if it is below the current directory."""
    with suppress(OSError, ValueError):
        path = path.relative_to(Path.cwd())
    return str(path).replace("%", "%%")


def seconds(text: str) -> float:
    """Parse the length of a load in seconds.

    Raises:
        argparse.ArgumentTypeError: the text is no number, or too small.
    """
    with suppress(ValueError):
        if _MIN_SECONDS <= (found := float(text)) < math.inf:
            return found
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, or less than {_MIN_SECONDS:g}")
