"""Whole edges under load, and two of them in turns: what the measurements here have in common."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from tests.e2e.edge import Edge, running
from tests.e2e.site import Place, Site

ROOT = Path(__file__).resolve().parent.parent
ROUTE = r"""
[[routes]]
name = "bench"
regex = '^/bench/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
rewrite = "{rest}"
log = false
"""


@frozen
class Round:
    """What clients got of an edge, and what it took."""

    rate: float  # a second
    worker: float  # CPU seconds for each
    supervisor: float  # CPU seconds for each
    count: int


@contextmanager
def pods(place: Place) -> Iterator[None]:
    """Take all calls at a place, and send back whatever comes."""
    command = [sys.executable, "-m", "bench.load", "pods", place.address, str(place.port)]
    with subprocess.Popen(command, cwd=ROOT) as process:  # noqa: S603 - our own
        try:
            yield
        finally:
            process.kill()


def started(stack: ExitStack, site: Site, text: str, *patches: Path) -> Edge:
    """An edge of this checkout.

    Args:
        stack: ends it.
        site: what it knows.
        text: its routing.toml.
        patches: directories with a sitecustomize.py.
    """
    environ = {"PYTHONPATH": os.pathsep.join(map(str, [*patches, ROOT]))}
    return stack.enter_context(running(text, site, environ=environ, code=ROOT))


def load(mode: str, clients: int, seconds: float, place: Place, edge: Edge) -> Round:
    """A round of `bench.load` through the one worker of an edge."""
    host, port = edge.address
    asked = "--target", f"/bench/{place.name}/call", "--clients", str(clients), "--seconds", str(seconds)
    before = edge.cpu_seconds(), edge.cpu_seconds(edge.pid)
    told = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "bench.load", mode, host, str(port), *asked],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    result = json.loads(told.stdout)
    count = result["count"]
    return Round(
        count / result["seconds"],
        (edge.cpu_seconds() - before[0]) / count,
        (edge.cpu_seconds(edge.pid) - before[1]) / count,
        count,
    )


def in_turns(run: Callable[[Edge], Round], one: Edge, other: Edge, rounds: int) -> list[tuple[Round, Round]]:
    """Pairs of neighbouring rounds of the two, each first as often as the other; the first pair, a warm-up, is not in.

    Args:
        run: a round.
        one: an edge.
        other: what it is compared with.
        rounds: how many pairs.
    """
    edges = [one, other]
    pairs = []
    for number in range(rounds + 1):
        results = {edge.pid: run(edge) for edge in edges}
        if number:
            pairs.append((results[one.pid], results[other.pid]))
        edges.reverse()
    return pairs


def tell(line: str) -> None:
    """A line on stdout, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
