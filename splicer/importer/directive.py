"""One directive of a source, and a source that can't be read."""

from __future__ import annotations

from attrs import define, frozen


@define(eq=False)
class Directive:
    """The smallest part of a source that gets a verdict; each is one object, and compared as such.

    Args:
        file: the source's name, as it was given.
        line: from 1.
        text: the directive in one line, as the report shows it.
    """

    file: str
    line: int
    text: str

    @property
    def place(self) -> str:
        """File and line, as editors understand them."""
        return f"{self.file}:{self.line}"


@frozen
class ImportFault(Exception):
    """A source that can't be read: nothing is written.

    Args:
        file: the source's name.
        line: from 1; None where the whole file is meant.
        text: what is wrong, and what to do.
    """

    file: str
    line: int | None
    text: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.text}"
