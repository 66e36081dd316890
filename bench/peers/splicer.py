"""splicer itself: of this checkout, or of another one."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.peers.base import Job, Peer, PeerFailed
from bench.peers.process import Tree, session_of
from bench.peers.template import at, free_address, home_of, routes

ROOT = Path(__file__).resolve().parents[2]

_FILE = "routing.toml"
_ROUTE = """
[[routes]]
name = "other-NUMBER"
prefix = "PREFIX"
upstream = "router"
"""
_TLS = """
[tls.edge]
certificates = ["{}"]
min_version = "1.3"
"""
_TELL = "import splicer; print(splicer.__file__); print(splicer.__version__)"


class _Here:
    path = sys.executable

    def missing(self) -> str | None:
        """None: splicer itself is always there."""
        return None

    def version(self) -> str:
        """The package's, and the Python that runs it."""
        return _version(ROOT)


class Splicer(Tree):
    """splicer with its usual processes: vault, gate and admin process.

    Args:
        name: see `Tree`, as for the others.
        job: see there.
        home: see there.
        cpus: see there.
        root: the directory that has the package.
        extra: further tables of its configuration.
    """

    software = _Here()

    def __init__(
        self, name: str, job: Job, home: Path, cpus: Collection[int], root: Path = ROOT, extra: str = ""
    ) -> None:
        self.admin = free_address()
        self._extra = extra
        self.cwd = self._root = root
        super().__init__(name, job, home, cpus)

    def configure(self) -> Sequence[str]:
        """Write its configuration: one file."""
        files, listener = self.job.certificate, f'"{at(self.address)}"'
        more = "" if files is None else _TLS.format(files)
        if files is not None:
            listener = f'{{ address = {listener}, tls = "edge" }}'
        config = self.write(_FILE, _FILE, admin=at(self.admin), listener=listener, routes=routes(self.job, _ROUTE))
        with Path(config).open("a", encoding="utf-8") as file:
            file.write(more + self._extra)
        return ["-m", "splicer", "run", "-c", config]

    def environ(self) -> Mapping[str, str]:
        """The directory that has the package."""
        return _environ(self._root)

    def workers(self) -> list[int]:
        """The workers, in the order of their slots."""
        titles = {pid: re.fullmatch(r"splicer: worker (\d+)", title) for pid, title in session_of(self.leader.pid)}
        return [pid for _, pid in sorted((int(found[1]), pid) for pid, found in titles.items() if found)]

    def reload(self) -> None:
        """Have the supervisor reload its file."""
        self.leader.send_signal(signal.SIGHUP)


class Checkout(Peer):
    """splicer from any directory, run by this Python with its installed packages.

    Args:
        name: of the peer in the figures: "before".
        root: the directory that has the package.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = self.title = name
        self._root = root.resolve()

    def missing(self) -> str | None:
        """Why it can't be run."""
        try:
            self.version()
        except PeerFailed as failed:
            return str(failed)
        return None

    def version(self) -> str:
        """The package's, and the Python that runs it."""
        return _version(self._root)

    @contextmanager
    def running(self, job: Job, cpus: Collection[int]) -> Iterator[Splicer]:
        """Run it; see `Peer.running`."""
        with home_of(self.name) as home, Splicer(self.name, job, home, cpus, self._root) as proxy:
            yield proxy


# `python -m` searches the current directory first, then PYTHONPATH: both must be this directory.
def _environ(root: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(root)}


def _version(root: Path) -> str:
    """The version of the package in a directory.

    Raises:
        PeerFailed: the directory has no package that can be imported; an installed one would be measured instead.
    """
    told = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", _TELL], cwd=root, env=_environ(root), capture_output=True, text=True, check=False
    )
    lines = told.stdout.splitlines()
    if told.returncode or Path(lines[0]).parent != root / "splicer":
        said = told.stderr.strip().splitlines()[-1:] or lines[:1]
        raise PeerFailed(f"{root} has no splicer that can be run: {said[0]}")
    return f"{lines[1]}, Python {sys.version.split()[0]}"
