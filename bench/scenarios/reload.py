"""Live calls while the proxy takes up its configuration anew, and while one of its workers is killed."""

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
        """Peers may leave the calls to an old worker: they are not lost then."""
        return _interrupted(turn, lambda proxy: proxy.reload())

    def lasts(self, seconds: float, quick: bool) -> float:
        """A load that begins earlier."""
        return _before(quick) + super().lasts(seconds, quick)


class Kill(Reload):
    """The same when a worker gets SIGKILL."""

    name = "kill"
    about = f"{_TUNNELS} paced calls and SIGKILL for a worker: calls lost, longest silence"
    seconds = 2.0

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """With one worker, all calls are in the one that dies."""
        return _interrupted(turn, _kill)


def _before(quick: bool) -> float:
    """Seconds of calls before it happens; the turn's seconds follow."""
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
            raise  # else it is the one that was killed, and the result tells how that was
    checked(turn, result, lost=_TUNNELS)
    yield Sample("lost", "calls", result["errors"])
    if result["errors"] < _TUNNELS:
        yield Sample("stall_ms", "ms", float(result["stall_ms"]))
