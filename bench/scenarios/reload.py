"""Live calls while the proxy reloads its configuration, and while one of its workers is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

from bench.peers.base import PeerFailed, Proxy
from bench.scenarios.base import Result, Sample, Scenario, Turn, checked
from bench.scenarios.even import CALLS

_TUNNELS = 100


class Reload(Scenario):
    """Calls lost by a reload, and the longest silence of any of them beyond its pace."""

    name = "reload"
    about = f"{_TUNNELS} paced calls and a reload: calls lost, longest silence"
    seconds = 3.0
    repeat = 2
    fresh = True

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure a reload; a peer may leave the calls to an old worker, so that they are not lost."""
        return _interrupted(turn, lambda proxy: proxy.reload())

    def lasts(self, seconds: float, quick: bool) -> float:
        """The estimated seconds of a load that begins before the reload."""
        return _before(quick) + super().lasts(seconds, quick)


class Kill(Reload):
    """The same when a worker gets SIGKILL."""

    name = "kill"
    about = f"{_TUNNELS} paced calls and SIGKILL for a worker: calls lost, longest silence"
    seconds = 2.0

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure a kill with one worker, so that all calls are in the worker that dies."""
        return _interrupted(turn, _kill)


def _before(quick: bool) -> float:
    """Seconds of calls before the reload or kill; the turn's seconds follow it."""
    return 0.3 if quick else 1.0


def _kill(proxy: Proxy) -> None:
    if not (workers := proxy.workers()):
        raise PeerFailed("it has no worker any more")
    os.kill(workers[0], signal.SIGKILL)


def _interrupted(turn: Turn, happens: Callable[[Proxy], None]) -> Iterator[Sample]:
    result: Result | None = None
    try:
        with turn.fresh() as proxy:
            before = _before(turn.site.quick)
            options = {**CALLS, "tunnels": _TUNNELS, "seconds": before + turn.seconds}
            with turn.client("even", proxy, options) as client:
                client.wait_ready()
                client.go()
                time.sleep(before)
                happens(proxy)
                result = client.result()
    except PeerFailed:
        if result is None:
            raise  # otherwise the killed process is the failure, and the result shows its effect
    checked(turn, result, lost=_TUNNELS)
    yield Sample("lost", "calls", result["errors"])
    if result["errors"] < _TUNNELS:
        yield Sample("stall_ms", "ms", float(result["stall_ms"]))
