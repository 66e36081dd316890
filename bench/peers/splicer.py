"""splicer itself, as this checkout has it."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.base import Job, Peer
from bench.peers.process import Tree, session_of
from bench.peers.template import at, fill, free_address, home_of, routes

_ROOT = Path(__file__).resolve().parents[2]
_ROUTE = """
[[routes]]
name = "other-NUMBER"
prefix = "PREFIX"
upstream = "router"
log = false
"""


class Splicer(Peer):
    """With its vault, its gate and its admin process, as always."""

    name = "splicer"
    title = "splicer"

    def missing(self) -> str | None:
        """Nothing: it is here."""
        return None

    def version(self) -> str:
        """The package's, and the Python that runs it."""
        from splicer import __version__

        return f"{__version__}, Python {sys.version.split()[0]}"

    @contextmanager
    def running(self, job: Job, cpus: Collection[int]) -> Iterator[Tree]:
        """Run it; see `Peer.running`."""
        with home_of(self.name) as home:
            address = free_address()
            text = fill("routing.toml", job, address, home, admin=at(free_address()), routes=routes(job, _ROUTE))
            config = home / "routing.toml"
            config.write_text(text, encoding="utf-8")
            command = [sys.executable, "-m", "splicer", "run", "-c", str(config)]
            with _Running(self.name, command, address, home, cpus, {"PYTHONPATH": str(_ROOT)}) as proxy:
                yield proxy


class _Running(Tree):
    def workers(self) -> list[int]:
        """In the order of their slots."""
        titles = {pid: re.fullmatch(r"splicer: worker (\d+)", title) for pid, title in session_of(self.leader.pid)}
        return [pid for _, pid in sorted((int(found[1]), pid) for pid, found in titles.items() if found)]

    def reload(self) -> None:
        """Have the supervisor read its file again."""
        self.leader.send_signal(signal.SIGHUP)
