"""A copy of the package, which a test changes."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).parents[3] / "splicer"


RAISES = "raise RuntimeError('a bug')\n"


class Code:
    """A copy of the package, to be changed.

    Args:
        directory: where `python -m splicer` finds it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # Other processes may be writing bytecode there, each to a file that it renames: `.pyc.4711`.
        shutil.copytree(PACKAGE, directory / "splicer", ignore=shutil.ignore_patterns("*.pyc.*"))
        self._times = itertools.count(1_000_000_000)

    def replace(self, path: str, old: str, new: str) -> None:
        """Change a file, which has this text once. Its time is another one: or else the old bytecode would be taken.

        A process that starts meanwhile reads the one or the other, never a part.
        """
        file = self.directory / "splicer" / path
        text = file.read_text()
        assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
        beside = file.with_suffix(".new")
        beside.write_text(text.replace(old, new))
        time = next(self._times)
        os.utime(beside, (time, time))
        beside.replace(file)

    def ahead(self, path: str, versions: int) -> tuple[str, str]:
        """The line with a file's version, and the line of one that is so many versions newer."""
        [version] = re.findall(r"^VERSION = (\d+)$", (self.directory / "splicer" / path).read_text(), re.MULTILINE)
        return f"\nVERSION = {version}\n", f"\nVERSION = {int(version) + versions}\n"

    @contextmanager
    def changed(self, changes: dict[str, tuple[str, str]]) -> Iterator[None]:
        """For a while: path → what there is, and what there shall be."""
        for path, (old, new) in changes.items():
            self.replace(path, old, new)
        try:
            yield
        finally:
            for path, (old, new) in changes.items():
                self.replace(path, new, old)
