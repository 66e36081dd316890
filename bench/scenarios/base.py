"""The interface of a scenario: it puts a load on one peer at a time, and yields numbers."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from attrs import evolve, frozen

from bench.machine import cpu_seconds, settled_cpu_seconds
from bench.peers.base import Corrupt, Peer, PeerFailed, Proxy
from bench.site import FEW, Site
from bench.traffic.driver import Client

Result = Mapping[str, Any]  # the result that a client prints at its end

_BUSY = 0.93  # share of its processors; a proxy in a closed loop that used less was waiting for the load
_LATE = 0.01  # share of frames; if the load sends more than that late, the report says so
_START, _FRESH_START = 0.5, 1.4  # seconds that a load takes in addition to its length; the same with a fresh proxy
_REFUSED = 0.01  # share of handshakes or requests; if more of them fail, the peer has failed


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
        site: the pods, names and processors of the run.
        peer: the peer that is measured.
        shared: the running peer of the whole run; unused by scenarios that start their own.
        seconds: the length of one load.
        direct: the numbers of the same repetition without a proxy, by name.
    """

    site: Site
    peer: Peer
    shared: Proxy | None
    seconds: float
    direct: Mapping[str, float]

    @property
    def proxy(self) -> Proxy:
        """The peer that runs during the whole run."""
        if self.shared is None:
            raise PeerFailed("not running")
        return self.shared

    @contextmanager
    def fresh(
        self, pods: int = FEW, routes: int = 0, workers: int = 1, certificate: Path | None = None
    ) -> Iterator[Proxy]:
        """A fresh, warmed-up instance of the peer; with a certificate, clients come by TLS."""
        job = evolve(self.site.job(pods, routes, workers), certificate=certificate)
        with self.peer.running(job, self.site.processors.proxy(workers)) as proxy:
            self.site.warm_up(proxy.address, ["tls-handshakes" if certificate else "handshakes"], pods, workers)
            settled_cpu_seconds(proxy.pids(), patience=5.0)
            yield proxy

    def client(
        self, mode: str, proxy: Proxy, options: Mapping[str, float], *, pods: int = FEW, workers: int = 1
    ) -> Client:
        """Clients of this peer, see `Site.client`; they run for the turn's seconds if the options have none."""
        window = {"seconds": self.seconds, **options}
        return self.site.client(mode, proxy.address, window, pods=pods, workers=workers)

    def note(self, text: str) -> None:
        """Add a note on this peer to the report."""
        self.site.note(f"{self.peer.name}: {text}")


class Scenario(abc.ABC):
    """A kind of load.

    Args:
        name: as on the command line, and in front of its figures' names.
        about: one line for --list.
        seconds: the default length of one load.
        quick_seconds: the same with --quick.
        repeat: the default number of repetitions; a scenario that hardly varies or takes long needs no third one.
        fresh: it starts its own peers, so it needs no running one.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    seconds: ClassVar[float] = 2.0
    quick_seconds: ClassVar[float] = 1.0
    repeat: ClassVar[int] = 3
    fresh: ClassVar[bool] = False

    def missing(self) -> str | None:
        """Why it can't be run here with any peer; None if it can."""
        return None

    def direct(self, site: Site, seconds: float) -> Iterator[Sample]:
        """Run the same load without a proxy, once in each repetition."""
        return iter(())

    @abc.abstractmethod
    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure one peer.

        Raises:
            PeerFailed: the peer could not carry the load.
        """

    def lasts(self, seconds: float, quick: bool) -> float:
        """The estimated seconds of one turn, for the progress bar; by default those of one load."""
        return seconds + (_FRESH_START if self.fresh else _START)


@frozen
class Measured:
    """The result of a load, and the CPU time that it took of the proxy.

    Args:
        result: the client's.
        cpu: CPU seconds of the proxy from "go" until the client had its result, before any connection is closed.
        settled: the same, but until the proxy had finished all pending work.
        outside: the part of `settled` that processes without calls took.
        workers: the number of the proxy's processors.
        crowded: the load's processors were full, so that clients and pods were late as well.
    """

    result: Result
    cpu: float
    settled: float
    outside: float = 0.0
    workers: int = 1
    crowded: bool = False

    @property
    def rate(self) -> float:
        """Counted items a second."""
        return float(self.result["count"] / self.result["seconds"])

    @property
    def per_cpu(self) -> float:
        """Counted items for each CPU second of the proxy, including the work that it did after them."""
        return float(self.result["count"] / self.settled)

    @property
    def load_bound(self) -> bool:
        """Whether the proxy had CPU time left in a closed loop."""
        return bool(self.cpu < _BUSY * self.workers * self.result["seconds"])


# The CPU clock is read first when all connections are open and no work on them is pending, then before any is closed.
def measured(
    turn: Turn, proxy: Proxy, mode: str, options: Mapping[str, float], *, pods: int = FEW, workers: int = 1
) -> Measured:
    """Run a load on a proxy.

    Args:
        turn: the turn of the measured peer.
        proxy: the peer's running instance.
        mode: of the client: "saturate".
        options: of the client: tunnels, bytes, clients, rate, seconds.
        pods: the number of pods that are called.
        workers: the number of the proxy's processors.

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
    """Check a client's result, and return it.

    Args:
        turn: the turn of the measured peer.
        result: of a client.
        lost: the number of errors that are tolerated.

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
