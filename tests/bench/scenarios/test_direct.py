"""Every scenario, with a proxy that is none: clients and pods alone."""

import os
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext

import pytest

from bench.machine import Processors
from bench.model import MORE_IS_BETTER
from bench.peers.base import Address, Job, Peer, PeerFailed, Proxy
from bench.run import Options, Run
from bench.scenarios import ALL
from bench.scenarios.base import Scenario, Turn, checked
from bench.site import Site, opened
from tests.bench.scenarios.terminator import terminating

pytestmark = pytest.mark.slow

SECONDS = 0.2


class Pod(Proxy):
    """The first pod; this process stands for the proxy's, and a sleeping one for its worker."""

    def __init__(self, address: Address, worker: int) -> None:
        self.address = address
        self.reloads = 0
        self._worker = worker

    def pids(self) -> list[int]:
        return [os.getpid()]

    def workers(self) -> list[int]:
        return [self._worker]

    def reload(self) -> None:
        self.reloads += 1


class NoProxy(Peer):
    name = title = "none"

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.proxies: list[Pod] = []
        self.exits: list[int] = []

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return "1"

    @contextmanager
    def running(self, job: Job, cpus: Collection[int]) -> Iterator[Pod]:
        self.jobs.append(job)
        pod = job.pods[0][1], job.port
        with (
            subprocess.Popen(["sleep", "60"]) as worker,
            nullcontext(pod) if job.certificate is None else terminating(job.certificate, pod) as address,
        ):
            proxy = Pod(address, worker.pid)
            self.proxies.append(proxy)
            try:
                yield proxy
            finally:
                worker.terminate()
                self.exits.append(worker.wait())


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with opened(quick=True) as site:
        site.route = "/call"
        yield site


class Silent:
    def begin(self, seconds: float) -> None: ...

    def now(self, what: str) -> None: ...

    def done(self, seconds: float) -> None: ...

    def end(self) -> None: ...


def measured(scenario: Scenario, site: Site, peer: Peer) -> dict[str, float]:
    """The figures without "direct", once."""
    run = Run(Options([scenario], [peer], repeat=1, seconds=SECONDS, quick=True), Silent())
    run.execute_on(site)
    report = run.report()
    assert report.skipped == ()
    return {figure.key: figure.median for figure in report.figures if figure.peer == peer.name}


FULL = ("frames.30_", "frames.800_", "idle.5000_", "tls.5000_", "storm.closed_", "storm.speech_", "handshakes.paced_")
QUICK = {key for key in MORE_IS_BETTER if not key.startswith(FULL)}


@pytest.mark.parametrize("name", ALL)
def test_a_scenario_yields_the_figures_that_are_judged(name: str, site: Site) -> None:
    if reason := ALL[name].missing():
        pytest.skip(reason)
    figures = measured(ALL[name], site, NoProxy())
    assert {key for key in QUICK if key.startswith(f"{name}.")} <= figures.keys()
    assert all(key.startswith(f"{name}.") for key in figures)


def test_a_full_run_has_fewer_and_more_calls(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := ALL["frames"].missing():
        pytest.skip(reason)
    monkeypatch.setattr(site, "quick", False)
    figures = measured(ALL["frames"], site, NoProxy())
    assert {key for key in MORE_IS_BETTER if key.startswith("frames.")} == set(figures)
    assert all(value > 0 for value in figures.values())


def test_even_frames_have_direct_latencies_to_be_compared_with(site: Site) -> None:
    run = Run(Options([ALL["even"]], [NoProxy()], repeat=1, seconds=SECONDS), Silent())
    run.execute_on(site)
    report = run.report()
    for percentile in "p50", "p99", "p999":
        direct = report.figure(f"even.{percentile}_us", "direct")
        own = report.figure(f"even.{percentile}_us", "none")
        added = report.figure(f"even.added_{percentile}_us", "none")
        assert direct
        assert own
        assert added
        assert added.median == pytest.approx(own.median - direct.median)


def test_a_reload_loses_no_call_to_a_pod(site: Site) -> None:
    peer = NoProxy()
    assert measured(ALL["reload"], site, peer)["reload.lost"] == 0
    assert [proxy.reloads for proxy in peer.proxies] == [1]
    assert peer.exits == [-15]


def test_a_kill_is_a_kill_of_a_worker(site: Site) -> None:
    peer = NoProxy()
    assert measured(ALL["kill"], site, peer)["kill.lost"] == 0
    assert peer.exits == [-9]


def test_scale_varies_routes_pods_and_workers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Site, "warm_up", lambda *_: None)
    site.quick = False
    peer = NoProxy()
    figures = measured(ALL["scale"], site, peer)
    site.quick = True
    sizes = [(len(job.pods), job.routes, job.workers) for job in peer.jobs]
    assert sizes == [(5, 10, 1), (5, 100, 1), (5, 1000, 1), (5, 0, 1), (500, 0, 1), (5, 0, 2), (5, 0, 4)]
    assert {"scale.routes_1000_us", "scale.pods_500_us", "scale.workers_2_us", "scale.workers_2_rate"} <= set(figures)
    assert {"scale.workers_4_outside_us", "scale.workers_4_frame_us"} <= set(figures)


def test_a_load_that_waits_for_no_proxy_is_bound(site: Site) -> None:
    run = Run(Options([ALL["saturate"]], [NoProxy()], repeat=1, seconds=SECONDS), Silent())
    run.execute_on(site)
    figure = run.report().figure("saturate.rate", "none")
    assert figure
    assert figure.load_bound == 1


def test_a_proxy_that_answers_wrongly_has_failed(site: Site) -> None:
    site.route = "/nobody"
    run = Run(Options([ALL["handshakes"]], [NoProxy()], repeat=1, seconds=SECONDS), Silent())
    run.execute_on(site)
    site.route = "/call"
    [skipped] = run.report().skipped
    assert skipped.peer == "none"
    assert "404" in skipped.reason


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"mismatches": 2}, "2 answers were wrong: why"),
        ({"errors": 6}, "6 calls or requests failed, and 1000 did not: why"),
        ({"missing": 3}, "3 frames never came"),
    ],
)
def test_what_came_back_wrong_or_never_is_a_failure(wrong: dict[str, int], told: str) -> None:
    turn = Turn(Site(Processors((0, 1)), 1, ("127.0.0.1", 1)), NoProxy(), None, 1.0, {})
    result = {"count": 1000, "errors": 5, "mismatches": 0, "why": "why"}
    assert checked(turn, result, lost=5) == result
    with pytest.raises(PeerFailed, match=f"^{told}$"):
        checked(turn, result | wrong, lost=5)


def test_a_slow_load_is_noted() -> None:
    site = Site(Processors((0, 1)), 1, ("127.0.0.1", 1))
    turn = Turn(site, NoProxy(), None, 1.0, {})
    result = {"count": 1000, "errors": 0, "mismatches": 0, "why": "", "sent": 500}
    checked(turn, result | {"late": 5})
    assert not site.notes
    checked(turn, result | {"late": 6})
    assert site.notes == ("none: the load itself was slow: 6 of 500 frames left over 1 ms late",)
