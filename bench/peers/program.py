"""The program of a peer: its file and its version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from attrs import frozen

from bench.peers.base import PeerFailed

_PLACES = (str(Path(sys.executable).parent), "/usr/sbin", "/usr/local/sbin")  # besides PATH


class Software(Protocol):
    """A program."""

    @property
    def path(self) -> str:
        """The path of its file."""

    def missing(self) -> str | None:
        """Why it can't be run, in one line."""

    def version(self) -> str:
        """As it tells itself."""


@frozen
class Program:
    """A program that may be installed.

    Args:
        name: of its file.
        install: how to install it: "apt-get install nginx".
        version_option: the option that prints its version.
        told: a pattern that finds the version in its output, as group 1.
    """

    name: str
    install: str
    version_option: str
    told: str

    def missing(self) -> str | None:
        """Why it can't be run, in one line."""
        return None if self._found() else f"{self.name} is not installed: {self.install}"

    @property
    def path(self) -> str:
        """The path of its file.

        Raises:
            PeerFailed: there is none.
        """
        if (found := self._found()) is None:
            raise PeerFailed(self.missing())
        return found

    def version(self) -> str:
        """As it tells itself."""
        answer = subprocess.run(  # noqa: S603 - our own
            [self.path, self.version_option], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        ).stdout
        found = re.search(self.told, answer)
        if found is None:
            raise PeerFailed(f"{self.name} {self.version_option} says no version: {answer[:200]!r}")
        return found[1]

    def _found(self) -> str | None:
        return shutil.which(self.name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_PLACES]))
