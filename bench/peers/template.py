"""The templates of the peers' configurations: written as an expert would, with @@names for the values of a job."""

from __future__ import annotations

import random
import resource
import socket
import string
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.base import Address, Job

_HERE = Path(__file__).parent
_MOST_FILES = 65536  # descriptors; more would only take memory for tables
_PORTS = range(10_000, 30_000)  # below the range of ephemeral ports


class _Template(string.Template):
    delimiter = "@@"  # the only character without a meaning in all five languages


# A name without a value is an error (KeyError), never an empty text.
def fill(template: str, job: Job, address: Address, home: Path, **values: str) -> str:
    """A template's text for a job.

    Args:
        template: its file, in this directory.
        job: the peer's task.
        address: where the peer listens.
        home: the peer's own directory.
        values: of the names that only this peer's template has.
    """
    common = {
        "address": at(address),
        "host": address[0],
        "listen": str(address[1]),
        "home": str(home),
        "workers": str(job.workers),
        "files": str(min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], _MOST_FILES)),
        "nameserver": at(job.nameserver),
        "nameserver_host": job.nameserver[0],
        "nameserver_port": str(job.nameserver[1]),
        "domain": job.domain,
        "port": str(job.port),
        "router": at((job.pods[0][1], job.port)),
        "router_host": job.pods[0][1],
    }
    return _Template((_HERE / template).read_text(encoding="utf-8")).substitute({**common, **values})


def routes(job: Job, text: str) -> str:
    """The further routes: `text` for each of them, with its prefix for PREFIX and its number for NUMBER."""
    return "".join(
        text.replace("PREFIX", f"/other-{number}/").replace("NUMBER", str(number))
        for number in range(1, job.routes + 1)
    )


@contextmanager
def home_of(name: str) -> Iterator[Path]:
    """A directory for one run of a peer."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as directory:
        yield Path(directory)


def free_address() -> Address:
    """A port of 127.0.0.1 at which no socket listens."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - no secret
        with socket.socket() as sock:
            try:
                sock.bind(("0.0.0.0", port))  # noqa: S104 - must be free on every address; the socket never listens
            except OSError:
                continue
        return "127.0.0.1", port


def at(address: Address) -> str:
    """The address as configurations write it: "127.0.0.1:53"."""
    return f"{address[0]}:{address[1]}"
