"""What the bench's commands have in common: how they refuse an argument, and how they show a path."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_USAGE = 2


class Parser(argparse.ArgumentParser):
    """What is wrong is said in one line."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser.error`."""
        self.exit(_USAGE, f"{self.prog}: {' '.join(message.split())}\n")


def shown(path: Path) -> str:
    """A path in a help text: relative to the current directory where it is below that."""
    with suppress(OSError, ValueError):
        path = path.relative_to(Path.cwd())
    return str(path).replace("%", "%%")
