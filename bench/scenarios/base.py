"""What a scenario is: it puts load on one peer at a time, and yields numbers."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from attrs import frozen

from bench.machine import cpu_seconds, settled_cpu_seconds
from bench.peers.base import Corrupt, Peer, PeerFailed, Proxy
from bench.site import FEW, Site
from bench.traffic.driver import Client

Result = Mapping[str, Any]  # what a client prints at its end

_BUSY = 0.93  # of its processors: a proxy in a closed loop that used less was waiting for the load
_LATE = 0.01  # of its frames: what the load may send late before the report says so
_START, _FRESH_START = 0.5, 1.4  # seconds that a load takes besides its own; the same with a proxy of its own
_REFUSED = 0.01  # of all handshakes or requests: what may fail before the peer has failed


@frozen
class Sample:
    """One number of one repetition.

    Args:
        name: "cpu_us".
        unit: "us", "1/s" …
        value: the number.
        load_bound: the load had no CPU left, so the peer could have done more.
    """

    name: str
    unit: str
    value: float
    load_bound: bool = False


@frozen
class Turn:
    """One peer's turn in one repetition of a scenario.

    Args:
        site: what the run has: pods, names, processors.
        peer: whose turn it is.
        shared: the peer as it has run since the run began; of no use to scenarios that start their own.
        seconds: how long one load lasts.
        direct: the numbers of the same repetition without a proxy, by name.
    """

    site: Site
    peer: Peer
    shared: Proxy | None
    seconds: float
    direct: Mapping[str, float]

    @property
    def proxy(self) -> Proxy:
        """The peer that runs all the time."""
        if self.shared is None:
            raise PeerFailed("not running")
        return self.shared

    @contextmanager
    def fresh(self, pods: int = FEW, routes: int = 0, workers: int = 1) -> Iterator[Proxy]:
        """The peer, started anew, that has had some calls."""
        job = self.site.job(pods, routes, workers)
        with self.peer.running(job, self.site.processors.proxy(workers)) as proxy:
            self.site.warm_up(proxy.address, ["handshakes"], pods, workers)
            settled_cpu_seconds(proxy.pids(), patience=5.0)
            yield proxy

    def client(
        self, mode: str, proxy: Proxy, options: Mapping[str, float], *, pods: int = FEW, workers: int = 1
    ) -> Client:
        """Clients of this peer, as `Site.client` has them; for the turn's seconds, if the options have none."""
        window = {"seconds": self.seconds, **options}
        return self.site.client(mode, proxy.address, window, pods=pods, workers=workers)

    def note(self, text: str) -> None:
        """What a reader of the report must know of this peer."""
        self.site.note(f"{self.peer.name}: {text}")


class Scenario(abc.ABC):
    """A kind of load.

    Args:
        name: as on the command line, and in front of its figures' names.
        about: a line for those who choose.
        seconds: of one load, where nobody says otherwise.
        quick_seconds: the same with --quick.
        repeat: repetitions, where nobody says otherwise: what hardly varies, or takes long, needs no third one.
        fresh: peers are started for it, so none needs to be there.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    seconds: ClassVar[float] = 2.0
    quick_seconds: ClassVar[float] = 1.0
    repeat: ClassVar[int] = 3
    fresh: ClassVar[bool] = False

    def missing(self) -> str | None:
        """Why it can't be run here, whoever's turn it is; None: it can."""
        return None

    def direct(self, site: Site, seconds: float) -> Iterator[Sample]:
        """The same load without a proxy, once in each repetition."""
        return iter(())

    @abc.abstractmethod
    def measure(self, turn: Turn) -> Iterator[Sample]:
        """One peer's numbers.

        Raises:
            PeerFailed: it could not do it.
        """

    def lasts(self, seconds: float, quick: bool) -> float:
        """Seconds that one turn takes, about: for the progress bar. One load, where nobody says otherwise."""
        return seconds + (_FRESH_START if self.fresh else _START)


@frozen
class Measured:
    """A load, and what it took of the proxy.

    Args:
        result: the client's.
        cpu: CPU seconds of the proxy from "go" until the client had its result, before any connection is closed.
        settled: the same until the proxy had done all that was under way.
        outside: the part of that which processes took that carry no calls.
        workers: processors that the proxy had.
        crowded: the load's own processors were full, so that clients and pods were late as well.
    """

    result: Result
    cpu: float
    settled: float
    outside: float = 0.0
    workers: int = 1
    crowded: bool = False

    @property
    def rate(self) -> float:
        """Counted things a second."""
        return float(self.result["count"] / self.result["seconds"])

    @property
    def per_cpu(self) -> float:
        """Counted things for each CPU second of the proxy, with all that they left to do."""
        return float(self.result["count"] / self.settled)

    @property
    def load_bound(self) -> bool:
        """Whether the proxy had CPU left, in a closed loop."""
        return bool(self.cpu < _BUSY * self.workers * self.result["seconds"])


# The CPU clock is read when all connections stand and their making has left nothing to do, and before any is closed.
def measured(
    turn: Turn, proxy: Proxy, mode: str, options: Mapping[str, float], *, pods: int = FEW, workers: int = 1
) -> Measured:
    """Run a load on a proxy.

    Args:
        turn: whose it is.
        proxy: which of its processes.
        mode: of the client: "saturate".
        options: of the client: tunnels, bytes, clients, rate, seconds.
        pods: how many of them are called.
        workers: processors that the proxy has.

    Raises:
        PeerFailed: bytes came back wrong, a tunnel was lost, or too many handshakes or requests failed.
    """
    with turn.client(mode, proxy, options, pods=pods, workers=workers) as client:
        client.wait_ready()
        before, busy = settled_cpu_seconds(proxy.pids()), turn.site.pods_cpu()
        outside = _outside(proxy)
        client.go()
        result = client.result()
        after, busy = cpu_seconds(proxy.pids()), turn.site.pods_cpu() - busy
        settled = settled_cpu_seconds(proxy.pids())
        outside = _outside(proxy) - outside
        client.end()
    checked(turn, result, lost=int(result["count"] * _REFUSED) if "clients" in options else 0)
    if after <= before:
        raise PeerFailed("it took no CPU: its processes have ended")
    crowded = turn.site.is_crowded((busy + result["cpu"]) / result["seconds"])
    return Measured(result, after - before, settled - before, outside, workers, crowded)


def _outside(proxy: Proxy) -> float:
    return cpu_seconds(set(proxy.pids()) - set(proxy.workers()))


def checked(turn: Turn, result: Result, lost: float = 0) -> Result:
    """The same result, if it may be counted.

    Args:
        turn: whose it is.
        result: of a client.
        lost: how many errors are borne.

    Raises:
        PeerFailed: see `measured`.
    """
    count, why = result["count"], result["why"]
    if wrong := result["mismatches"]:
        raise Corrupt(f"{wrong} answers were wrong: {why}")
    if missing := result.get("missing"):
        raise Corrupt(f"{missing} frames never came")
    if (errors := result["errors"]) > lost:
        raise PeerFailed(f"{errors} calls or requests failed, and {count} did not: {why}")
    if (late := result.get("late", 0)) > _LATE * (sent := result.get("sent", 0)):
        turn.note(f"the load itself was slow: {late} of {sent} frames left over 1 ms late")
    return result
