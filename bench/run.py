"""A run: repeats every scenario on each peer in turn, so that changes on the machine affect all peers alike."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from http.client import HTTPException

from attrs import frozen

from bench.fleet import Fleet
from bench.machine import Disturbance, Load, Processors, description, disturbance
from bench.model import Figure, Report, Skipped
from bench.peers.base import Corrupt, Peer, PeerFailed
from bench.progress import Progress
from bench.scenarios.base import Sample, Scenario, Turn
from bench.site import Site, opened
from bench.traffic.driver import TrafficFailed

DIRECT = "direct"  # the peer name of the figures without a proxy
# Failures of one peer: it has ended, has no room, or hangs up.
_FAILURES = (PeerFailed, TrafficFailed, OSError, HTTPException)


@frozen
class Options:
    """The scenarios and peers to measure, and how.

    Args:
        scenarios: in their order.
        peers: in their order.
        repeat: the number of repetitions; None: each scenario's default.
        seconds: the length of one load; None: each scenario's default.
        quick: short loads, without the parts that take long.
        tries: how often a peer's turn may be measured if others took much of the machine meanwhile; the calmest counts.
    """

    scenarios: Sequence[Scenario]
    peers: Sequence[Peer]
    repeat: int | None = None
    seconds: float | None = None
    quick: bool = False
    tries: int = 1

    def window(self, scenario: Scenario) -> float:
        """The length of one load in seconds."""
        return self.seconds or (scenario.quick_seconds if self.quick else scenario.seconds)

    def repetitions(self, scenario: Scenario) -> int:
        """The number of repetitions of a scenario."""
        return self.repeat or scenario.repeat

    def lasts(self, scenario: Scenario) -> float:
        """The estimated length of one turn in seconds."""
        return scenario.lasts(self.window(scenario), self.quick)


class Run:
    """One run; `report` returns the results so far at any time.

    Args:
        options: what to measure.
        progress: shows how far the run is.
    """

    def __init__(self, options: Options, progress: Progress) -> None:
        self._options = options
        self._progress = progress
        self._machine = description(Processors.of_this_process())
        self._started = datetime.now(UTC), time.monotonic()
        self._versions: dict[str, str] = {}
        self._samples: dict[tuple[str, str, str], list[Sample]] = {}
        self._skipped: dict[tuple[str, str], str] = {}
        self._corrupt: set[tuple[str, str]] = set()
        self._notes: dict[str, None] = {}
        self._site: Site | None = None

    def execute(self) -> None:
        """Measure everything, and end all peers before it returns or raises.

        Raises:
            TrafficFailed: clients and pods don't work even without a proxy.
        """
        with opened(self._options.quick) as site:
            self.execute_on(site)

    def execute_on(self, site: Site) -> None:
        """Measure everything with these pods."""
        self._site = site
        scenarios, peers = self._possible(), self._present()
        turns = {one: self._options.repetitions(one) * len(peers) for one in scenarios}
        self._progress.begin(sum(self._options.lasts(one) * count for one, count in turns.items()))
        with Fleet(site) as fleet:
            if not all(scenario.fresh for scenario in scenarios):
                self._start(peers, fleet)
            for scenario in scenarios:
                for repetition in range(self._options.repetitions(scenario)):
                    self._repetition(scenario, repetition, peers, site, fleet)

    def report(self) -> Report:
        """The report with all results so far."""
        options = self._options
        begun, clock = self._started
        return Report(
            machine=self._machine,
            versions=self._versions,
            started=begun.isoformat(timespec="seconds"),
            seconds=time.monotonic() - clock,
            settings={
                "scenarios": " ".join(one.name for one in options.scenarios),
                "peers": " ".join(one.name for one in options.peers),
                "repeat": str(options.repeat or "as each scenario has it"),
                "seconds": f"{options.seconds:g}" if options.seconds else "as each scenario has it",
                "quick": "yes" if options.quick else "no",
                "tries": str(options.tries),
            },
            figures=[_figure(key, samples) for key, samples in self._samples.items()],
            skipped=[Skipped(peer, reason, scenario) for (peer, scenario), reason in self._skipped.items()],
            notes=[*(self._site.notes if self._site else ()), *self._notes],
        )

    def _possible(self) -> list[Scenario]:
        """The scenarios that can be run here."""
        found = []
        for scenario in self._options.scenarios:
            if reason := scenario.missing():
                self._skipped["", scenario.name] = reason
            else:
                found.append(scenario)
        return found

    def _present(self) -> list[Peer]:
        """The peers that can be run here."""
        found = []
        for peer in self._options.peers:
            if reason := peer.missing():
                self._skipped[peer.name, ""] = reason
                continue
            try:
                self._versions[peer.name] = peer.version()
                found.append(peer)
            except _FAILURES as failed:
                self._skipped[peer.name, ""] = str(failed)
        return found

    def _start(self, peers: list[Peer], fleet: Fleet) -> None:
        """Start all peers before the first measurement; one that does not start is excluded from the run."""
        for peer in list(peers):
            self._progress.now(f"starting {peer.name}")
            try:
                fleet.proxy(peer)
            except _FAILURES as failed:
                self._skipped[peer.name, ""] = str(failed)
                peers.remove(peer)

    # Every second repetition has the peers in reverse order, so that a drift favours none of them.
    def _repetition(self, scenario: Scenario, repetition: int, peers: list[Peer], site: Site, fleet: Fleet) -> None:
        what = f"{scenario.name} {repetition + 1}/{self._options.repetitions(scenario)}"
        seconds = self._options.window(scenario)
        self._progress.now(what)
        direct = list(scenario.direct(site, seconds))
        self._keep(scenario, DIRECT, direct)
        values = {sample.name: sample.value for sample in direct}
        for peer in peers if repetition % 2 == 0 else reversed(peers):
            if (peer.name, scenario.name) not in self._skipped:
                self._progress.now(f"{what} {peer.name}")
                found = self._turn(scenario, peer, values, site, fleet)
                if found.much:
                    self._notes[f"{found} during {scenario.name} {repetition + 1}, {peer.name}"] = None
            self._progress.done(self._options.lasts(scenario))

    def _turn(
        self, scenario: Scenario, peer: Peer, direct: Mapping[str, float], site: Site, fleet: Fleet
    ) -> Disturbance:
        """Measure one peer until others took little meanwhile, or as often as allowed; keep the calmest measurement."""
        calmest: tuple[Disturbance, list[Sample]] = Disturbance(math.inf, ""), []
        for _ in range(self._options.tries):
            before, samples = Load.now(fleet.pids()), list[Sample]()
            try:
                self._measure(scenario, peer, direct, site, fleet, samples)
            except BaseException:  # an interruption: what there is goes into the report
                self._keep(scenario, peer.name, samples)
                raise
            found = disturbance(before, Load.now(fleet.pids()))
            if found.share < calmest[0].share:
                calmest = found, samples
            if not found.much or (peer.name, scenario.name) in self._skipped:
                break
        if (peer.name, scenario.name) in self._corrupt:
            self._forget(scenario, peer.name)
        else:
            self._keep(scenario, peer.name, calmest[1])
        return calmest[0]

    def _measure(
        self,
        scenario: Scenario,
        peer: Peer,
        direct: Mapping[str, float],
        site: Site,
        fleet: Fleet,
        samples: list[Sample],
    ) -> None:
        """Measure one peer once; `samples` gets the numbers that it yields before it fails."""
        try:
            shared = None if scenario.fresh else fleet.proxy(peer)
            for sample in scenario.measure(Turn(site, peer, shared, self._options.window(scenario), direct)):
                samples.append(sample)  # noqa: PERF402 - those before a failure are kept
        except _FAILURES as failed:
            self._skipped[peer.name, scenario.name] = str(failed)
            if isinstance(failed, Corrupt):
                self._corrupt.add((peer.name, scenario.name))
            fleet.stop(peer.name)

    # A peer that changes bytes, even once, has no figures: they would not be comparable.
    def _forget(self, scenario: Scenario, peer: str) -> None:
        for key in [key for key in self._samples if (key[0], key[2]) == (scenario.name, peer)]:
            del self._samples[key]

    def _keep(self, scenario: Scenario, peer: str, samples: Iterable[Sample]) -> None:
        for sample in samples:
            self._samples.setdefault((scenario.name, sample.name, peer), []).append(sample)


def _figure(key: tuple[str, str, str], samples: list[Sample]) -> Figure:
    values = [sample.value for sample in samples]
    return Figure(*key, samples[0].unit, values, sum(sample.load_bound for sample in samples))
