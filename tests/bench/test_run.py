from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException

import pytest

from bench import run as run_module
from bench.machine import Disturbance, Processors
from bench.model import Figure, Skipped
from bench.peers.base import Address, Corrupt, Job, Peer, PeerFailed, Proxy
from bench.run import Options, Run
from bench.scenarios.base import Sample, Scenario, Turn
from bench.site import FEW, Site

SITE_PROCESSORS = Processors((0, 1))


class Quiet:
    def __init__(self) -> None:
        self.whole = 0.0
        self.over = 0.0

    def begin(self, seconds: float) -> None:
        self.whole = seconds

    def now(self, what: str) -> None: ...

    def done(self, seconds: float) -> None:
        self.over += seconds

    def end(self) -> None: ...


class Cold(Site):
    """Nobody is there to warm up with."""

    def warm_up(self, address: Address, modes: Sequence[str], pods: int = FEW, workers: int = 1) -> None: ...


class FakeProxy(Proxy):
    address = ("127.0.0.1", 1)

    def pids(self) -> list[int]:
        return []

    def workers(self) -> list[int]:
        return []

    def reload(self) -> None: ...


class FakePeer(Peer):
    def __init__(self, name: str, missing: str | None = None, broken: bool = False) -> None:
        self.name = self.title = name
        self.starts = 0
        self.running_now = 0
        self._missing = missing
        self._broken = broken

    def missing(self) -> str | None:
        return self._missing

    def version(self) -> str:
        return "1.0"

    @contextmanager
    def running(self, job: Job, cpus: Collection[int]) -> Iterator[Proxy]:
        if self._broken:
            raise PeerFailed("no port")
        assert cpus == {0}
        self.starts += 1
        self.running_now += 1
        yield FakeProxy()
        self.running_now -= 1


class Recorded(Scenario):
    name = "recorded"
    about = ""

    def __init__(self) -> None:
        self.turns: list[str] = []

    def direct(self, site: Site, seconds: float) -> Iterator[Sample]:
        self.turns.append("direct")
        yield Sample("base", "us", 10.0 * len(self.turns))

    def measure(self, turn: Turn) -> Iterator[Sample]:
        self.turns.append(turn.peer.name)
        assert turn.proxy.address == FakeProxy.address
        yield Sample("base", "us", turn.direct["base"], load_bound=turn.peer.name == "b")

    def lasts(self, seconds: float, quick: bool) -> float:
        return seconds


class Failing(Recorded):
    name = "failing"

    def measure(self, turn: Turn) -> Iterator[Sample]:
        self.turns.append(turn.peer.name)
        yield Sample("before", "us", 1.0)
        if turn.peer.name == "b":
            raise PeerFailed("gone")


class Numbered(Recorded):
    def direct(self, site: Site, seconds: float) -> Iterator[Sample]:
        yield from ()

    def measure(self, turn: Turn) -> Iterator[Sample]:
        self.turns.append(turn.peer.name)
        yield Sample("turn", "", float(len(self.turns)))


class Fresh(Recorded):
    name = "fresh"
    fresh = True
    repeat = 1

    def measure(self, turn: Turn) -> Iterator[Sample]:
        with turn.fresh():
            yield Sample("one", "us", 1.0)


def run(scenarios: list[Scenario], peers: list[FakePeer], repeat: int | None = 3) -> Run:
    one = Run(Options(scenarios, peers, repeat=repeat), Quiet())
    one.execute_on(Cold(SITE_PROCESSORS, 1, ("127.0.0.1", 1)))
    assert not any(peer.running_now for peer in peers)
    return one


def test_peers_take_turns_and_the_order_is_reversed_every_other_time() -> None:
    scenario = Recorded()
    peers = [FakePeer("a"), FakePeer("b")]
    run([scenario], peers)
    assert scenario.turns == ["direct", "a", "b", "direct", "b", "a", "direct", "a", "b"]
    assert [peer.starts for peer in peers] == [1, 1]


def test_a_figure_has_a_value_for_each_repetition() -> None:
    report = run([Recorded()], [FakePeer("a"), FakePeer("b")]).report()
    assert report.figure("recorded.base", "direct") == Figure("recorded", "base", "direct", "us", (10, 40, 70))
    assert report.figure("recorded.base", "a") == Figure("recorded", "base", "a", "us", (10, 40, 70))
    assert report.figure("recorded.base", "b") == Figure("recorded", "base", "b", "us", (10, 40, 70), load_bound=3)
    assert report.versions == {"a": "1.0", "b": "1.0"}


def test_a_disturbed_turn_is_measured_again_and_the_calmest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = iter([0.3, 0.1, 0.2, 0.01])
    monkeypatch.setattr(run_module, "disturbance", lambda *_: Disturbance(next(shares), "the machine's host"))
    recorded = Numbered()
    one = Run(Options([recorded], [FakePeer("a"), FakePeer("b")], repeat=1, tries=3), Quiet())
    one.execute_on(Cold(SITE_PROCESSORS, 1, ("127.0.0.1", 1)))
    assert recorded.turns == ["a", "a", "a", "b"]
    found = {figure.peer: figure.values for figure in one.report().figures}
    assert found == {"a": (2.0,), "b": (4.0,)}
    assert one.report().notes == ("the machine's host took 10% of the machine during recorded 1, a",)


def test_who_fails_is_left_out_of_the_scenario_and_started_anew_for_the_next() -> None:
    failing, recorded = Failing(), Recorded()
    peers = [FakePeer("a"), FakePeer("b")]
    report = run([failing, recorded], peers).report()
    assert failing.turns.count("b") == 1
    assert recorded.turns.count("b") == 3
    assert [peer.starts for peer in peers] == [1, 2]
    assert report.skipped == (Skipped("b", "gone", "failing"),)
    assert report.figure("failing.before", "b") == Figure("failing", "before", "b", "us", (1,))


def test_who_changes_bytes_has_no_figures_at_all() -> None:
    class Corrupting(Recorded):
        name = "corrupting"

        def measure(self, turn: Turn) -> Iterator[Sample]:
            yield from super().measure(turn)
            if turn.peer.name == "b" and len(self.turns) > 5:
                raise Corrupt("3 answers were wrong")

    report = run([Corrupting()], [FakePeer("a"), FakePeer("b")]).report()
    assert report.skipped == (Skipped("b", "3 answers were wrong", "corrupting"),)
    assert {figure.peer for figure in report.figures} == {"direct", "a"}


@pytest.mark.parametrize("error", [ConnectionRefusedError("gone"), OSError(28, "no space"), HTTPException("half")])
def test_a_peer_that_is_gone_ends_its_turn_and_not_the_run(error: Exception) -> None:
    class Gone(Recorded):
        name = "gone"

        def measure(self, turn: Turn) -> Iterator[Sample]:
            yield from super().measure(turn)
            if turn.peer.name == "b":
                raise error

    report = run([Gone(), Recorded()], [FakePeer("a"), FakePeer("b")]).report()
    assert report.skipped == (Skipped("b", str(error), "gone"),)
    assert report.figure("recorded.base", "b")


def test_who_is_missing_or_does_not_start_is_left_out() -> None:
    report = run([Recorded()], [FakePeer("a"), FakePeer("b", missing="apt"), FakePeer("c", broken=True)]).report()
    assert report.skipped == (Skipped("b", "apt"), Skipped("c", "no port"))
    assert {figure.peer for figure in report.figures} == {"direct", "a"}


def test_a_scenario_that_can_not_be_run_here_is_nobodys_fault() -> None:
    class Impossible(Recorded):
        name = "impossible"

        def missing(self) -> str | None:
            return "no compiler"

    impossible, recorded = Impossible(), Recorded()
    report = run([impossible, recorded], [FakePeer("a")]).report()
    assert report.skipped == (Skipped("", "no compiler", "impossible"),)
    assert impossible.turns == []
    assert report.figure("recorded.base", "a")


def test_no_peer_waits_for_scenarios_that_start_their_own() -> None:
    peer = FakePeer("a")
    report = run([Fresh()], [peer], repeat=None).report()
    assert peer.starts == 1
    assert report.figure("fresh.one", "a") == Figure("fresh", "one", "a", "us", (1,))


def test_what_was_measured_before_an_interruption_is_in_the_report() -> None:
    class Interrupted(Recorded):
        def measure(self, turn: Turn) -> Iterator[Sample]:
            yield from super().measure(turn)
            raise KeyboardInterrupt

    peers = [FakePeer("a"), FakePeer("b")]
    one = Run(Options([Interrupted()], peers), Quiet())
    with pytest.raises(KeyboardInterrupt):
        one.execute_on(Cold(SITE_PROCESSORS, 1, ("127.0.0.1", 1)))
    assert not any(peer.running_now for peer in peers)
    assert one.report().figure("recorded.base", "a") == Figure("recorded", "base", "a", "us", (10,))


def test_the_progress_adds_up() -> None:
    quiet = Quiet()
    Run(Options([Recorded(), Fresh()], [FakePeer("a")]), quiet).execute_on(Cold(SITE_PROCESSORS, 1, ("127.0.0.1", 1)))
    assert quiet.over == pytest.approx(quiet.whole) == pytest.approx(3 * 2.0 + 1 * 2.0)


def test_a_window_is_the_askers_or_the_scenarios() -> None:
    scenario = Recorded()
    assert Options([], []).window(scenario) == scenario.seconds
    assert Options([], [], quick=True).window(scenario) == scenario.quick_seconds
    assert Options([], [], seconds=7.0, quick=True).window(scenario) == 7.0
