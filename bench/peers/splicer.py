"""splicer itself, as this checkout has it."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers.process import Tree, session_of
from bench.peers.template import at, free_address, routes

_ROOT = Path(__file__).resolve().parents[2]
_FILE = "routing.toml"
_ROUTE = """
[[routes]]
name = "other-NUMBER"
prefix = "PREFIX"
upstream = "router"
log = false
"""


class _Checkout:
    path = sys.executable

    def missing(self) -> str | None:
        """Nothing: it is here."""
        return None

    def version(self) -> str:
        """The package's, and the Python that runs it."""
        from splicer import __version__

        return f"{__version__}, Python {sys.version.split()[0]}"


class Splicer(Tree):
    """With its vault, its gate and its admin process, as always."""

    software = _Checkout()

    def configure(self) -> Sequence[str]:
        """One file for all."""
        config = self.write(_FILE, _FILE, admin=at(free_address()), routes=routes(self.job, _ROUTE))
        return ["-m", "splicer", "run", "-c", config]

    def environ(self) -> Mapping[str, str]:
        """Where the package is."""
        return {"PYTHONPATH": str(_ROOT)}

    def workers(self) -> list[int]:
        """In the order of their slots."""
        titles = {pid: re.fullmatch(r"splicer: worker (\d+)", title) for pid, title in session_of(self.leader.pid)}
        return [pid for _, pid in sorted((int(found[1]), pid) for pid, found in titles.items() if found)]

    def reload(self) -> None:
        """Have the supervisor read its file again."""
        self.leader.send_signal(signal.SIGHUP)
