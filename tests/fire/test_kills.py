"""Calls outlive the proxy: no byte of any tunnel is lost, whatever happens to the workers."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest
import trio

from tests.e2e.edge import Edge, running
from tests.e2e.site import Site
from tests.e2e.wire import EndOfStream, ask, until
from tests.fire.kills import Killer, kill_and_see, worker_pids
from tests.fire.report import Report
from tests.fire.storm import storming

Fault = Callable[[Edge], Awaitable[None]]
Tell = Callable[[Report], None]
_ANSWERED = 5.0  # seconds that a request may take
_LONGEST = 180.0  # seconds of a storm; it should take half of that
_PATIENCE = 20.0  # seconds without a byte: workers may be killed faster than a busy machine can start new ones
_SLACK = 4  # descriptors that a process may have more than before, for no reason of ours


@contextmanager
def edge_with(workers: int) -> Iterator[Edge]:
    """An edge with so many workers."""
    site = Site(pods=8)
    text = site.toml(deadlines='half_closed = "5m"').replace('admin = "off"', f'admin = "off"\nworkers = {workers}')
    with running(text, site) as edge:
        yield edge


def kills(count: int, pause: float, *, refill: bool) -> Fault:
    """SIGKILL workers; see `Killer`."""

    async def fault(edge: Edge) -> None:
        killer = Killer(lambda: worker_pids(edge.pid), Random(count), pause, refill)
        await killer.run(count)
        await _deaths_are_told(edge, count)

    return fault


async def _deaths_are_told(edge: Edge, count: int) -> None:
    """Just so many; an edge whose workers die for other reasons fails its own check in the end."""
    died = await edge.wait_lines(count, "worker_died")
    for line in died[:count]:
        edge.lines.remove(line)


def signals(signum: signal.Signals, times: int, event: str) -> Fault:
    """Signal the supervisor, again when the log has told the event of the last time."""

    async def fault(edge: Edge) -> None:
        for count in range(1, times + 1):
            edge.signal(signum)
            await edge.wait_lines(count, event)
            await trio.sleep(0.2)

    return fault


async def storm_during(
    fault: Fault,
    edge: Edge,
    tell: Tell,
    *,
    tunnels: int,
    churn: float = 0.0,
    answered: float = _PATIENCE,
    seed: int = 1,
) -> Report:
    """A storm while something happens to the edge; no descriptor of the supervisor's may be left over."""
    before = await _open_at_rest(edge)
    edge.mark()
    with trio.fail_after(_LONGEST):
        async with storming(edge.address, edge.site, seed=seed, patience=_PATIENCE, answered=answered) as storm:
            storm.keep(tunnels)
            if churn:
                storm.churn(churn)
            await storm.full()
            await fault(edge)
            report = await storm.finish()
    tell(report)
    report.check()
    with trio.move_on_after(_PATIENCE):
        while (_open(edge) - before).total() > _SLACK:  # noqa: ASYNC110 - what other processes do sets no event
            await trio.sleep(0.1)
    assert (_open(edge) - before).total() <= _SLACK, f"left open: {_open(edge) - before}"
    return report


async def _open_at_rest(edge: Edge) -> Counter[str]:
    """What the supervisor has open when all of its processes have come up."""
    last, now = None, _open(edge)
    while last != now:
        await trio.sleep(1)
        last, now = now, _open(edge)
    return now


def _open(edge: Edge) -> Counter[str]:
    """What the supervisor has open, by kind; of pipes, those that no worker has: the vault keeps one end of all."""
    pooled = {link for pid in worker_pids(edge.pid).values() for link in edge.open_files(pid)}
    links = edge.open_files(edge.pid)
    return Counter(link.partition(":")[0] for link in links if not (link in pooled and link.startswith("pipe")))


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Leave the figures in the test's report, and on the screen with -s."""

    def tell(report: Report) -> None:
        for name, seconds in zip(("median", "p99", "longest"), report.stalls, strict=True):
            record_property(f"longest gaps, {name}, s", round(seconds, 3))
        record_property("tunnels", report.tunnels)
        record_property("bytes", report.to_pods + report.to_clients)
        print(f"\n{report.text()}")  # noqa: T201 - for a person

    return tell


async def test_a_few_kills(tell: Tell) -> None:
    with edge_with(workers=2) as edge:
        report = await storm_during(kills(10, 0.2, refill=True), edge, tell, tunnels=20)
    assert report.tunnels > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(kills(100, 0.3, refill=False), id="100 kills"),
        pytest.param(kills(100, 0.3, refill=True), id="100 kills, all slots being filled"),
        pytest.param(signals(signal.SIGUSR2, 10, "upgraded"), id="10 upgrades"),
        pytest.param(signals(signal.SIGUSR1, 10, "recycled"), id="10 recycles"),
    ],
)
async def test_a_hundred_tunnels(fault: Fault, tell: Tell) -> None:
    with edge_with(workers=2) as edge:
        report = await storm_during(fault, edge, tell, tunnels=110)
    assert report.tunnels > 110


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
async def test_new_calls_during_kills(workers: int, tell: Tell) -> None:
    """Each is answered or closed in time, never by half a 101; what is established goes on from its first byte."""
    during = kills(40, 1.0, refill=True)
    with edge_with(workers) as edge:
        report = await storm_during(during, edge, tell, tunnels=10, churn=40, answered=_ANSWERED)
    assert report.completed["churn"] > 100
    assert not report.answered, report.text()


async def test_no_connection_is_refused_and_none_in_the_queue_is_lost() -> None:
    outcomes: Counter[str] = Counter()
    with edge_with(workers=1) as edge:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(_knock_for_ever, edge, outcomes)
            for _ in range(8):
                await until(lambda: worker_pids(edge.pid))
                await kill_and_see(worker_pids(edge.pid)[1])
                await _all_are_answered(edge, 50)
            nursery.cancel_scope.cancel()
        await _deaths_are_told(edge, 8)
    assert outcomes["answered"] > 8
    assert outcomes["dropped"] <= 8 * 4, "at most one of each who knocks, for each kill"


async def _all_are_answered(edge: Edge, count: int) -> None:
    """Connections that come when the only worker is dead wait for the next one."""

    async def one() -> None:
        assert (await ask(edge.address, "GET", "/health")).status == 200

    with trio.fail_after(_ANSWERED):
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(one)


async def _knock_for_ever(edge: Edge, outcomes: Counter[str]) -> None:
    """Ask again and again: a worker that dies may drop what it has accepted, and nothing else may happen."""
    while True:
        with trio.fail_after(_ANSWERED):
            outcomes[await _knock(edge)] += 1


async def _knock(edge: Edge) -> str:
    """All else is raised: a refused connection, half an answer."""
    try:
        reply = await ask(edge.address, "GET", "/health")
    except trio.BrokenResourceError:
        return "dropped"
    except EndOfStream as end:
        if end.args == (b"",):
            return "dropped"
        raise
    assert reply.body == b"healthy\n"
    return "answered"
