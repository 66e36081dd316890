"""Calls outlive the proxy: no byte of any tunnel is lost, whatever happens to the workers."""

from __future__ import annotations

import signal
from collections import Counter
from functools import partial

import pytest
import trio

from tests.kit.edge import Edge
from tests.kit.wire import EndOfStream, ask, until
from tests.kit.workers import kill_and_see, worker_pids
from tests.stress.plans import BEHAVIOURS
from tests.stress.trials import Tell, deaths_are_told, edge_with, kill_workers, signal_again, storm_during

_ANSWER_TIMEOUT = 5.0  # seconds that a request may take


async def test_a_few_kills(tell: Tell) -> None:
    with edge_with(workers=2) as edge:
        fault = partial(kill_workers, edge, 5, 0.1, refill=True)
        report = await storm_during(fault, edge, tell, tunnels=20, seconds=2)
    assert report.tunnels > 20


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("refill", "kills", "pause"), [(False, 36, 2.5), (True, 64, 0.5)])
async def test_a_hundred_tunnels_during_kills(*, refill: bool, kills: int, pause: float, seed: int, tell: Tell) -> None:
    """200 in sum. With `refill`, a salvo of kills begins only when all slots are served."""
    with edge_with(workers=2) as edge:
        fault = partial(kill_workers, edge, kills, pause, refill=refill, seed=seed)
        report = await storm_during(fault, edge, tell, tunnels=110, seed=seed)
        assert sum(line["pipes"] for line in edge.find("tunnels_orphaned")) > 0, "no pipe was dirty when a worker died"
        assert max(line["adopted"] for line in edge.find("tunnel_close")) > 3
    assert set(report.completed) == set(BEHAVIOURS)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(("signum", "event"), [(signal.SIGUSR2, "upgraded"), (signal.SIGUSR1, "recycled")])
async def test_a_hundred_tunnels_while_all_is_renewed(signum: signal.Signals, event: str, tell: Tell) -> None:
    with edge_with(workers=2) as edge:
        report = await storm_during(partial(signal_again, edge, signum, 10, event), edge, tell, tunnels=110)
        assert sum(line["pipes"] for line in edge.find("tunnels_orphaned")) > 0, "no pipe was dirty at a handover"
    assert set(report.completed) == set(BEHAVIOURS)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("workers", [1, 2])
async def test_new_calls_during_kills(workers: int, tell: Tell) -> None:
    """Each is answered or closed in time, never by half a 101; what is established goes on from its first byte."""
    with edge_with(workers) as edge:
        fault = partial(kill_workers, edge, 32, 0.8, refill=True)
        report = await storm_during(fault, edge, tell, tunnels=10, churn=60, answered=_ANSWER_TIMEOUT)
    assert report.completed["churn"] > 100
    assert report.dropped > 0, "no kill has hit a handshake"
    assert not report.answered, report.text()


async def test_no_connection_is_refused_and_none_in_the_queue_is_lost() -> None:
    outcomes: Counter[str] = Counter()
    with edge_with(workers=1) as edge:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(_knock_for_ever, edge, outcomes)
            for _ in range(4):
                await until(lambda: worker_pids(edge.pid))
                await kill_and_see(worker_pids(edge.pid)[1])
                await _all_are_answered(edge, 50)
            answered = outcomes["answered"]
            await until(lambda: outcomes["answered"] > answered + 4)  # nobody who knocks is left hanging
            nursery.cancel_scope.cancel()
        await deaths_are_told(edge, 4)
    assert outcomes["dropped"] <= 4 * 4, "at most one of each who knocks, for each kill"


async def _all_are_answered(edge: Edge, count: int) -> None:
    """Connections that come when the only worker is dead wait for the next one."""

    async def one() -> None:
        assert (await ask(edge.address, "GET", "/health")).status == 200

    with trio.fail_after(_ANSWER_TIMEOUT):
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(one)


async def _knock_for_ever(edge: Edge, outcomes: Counter[str]) -> None:
    """Ask again and again: a worker that dies may drop what it has accepted, and nothing else may happen."""
    while True:
        with trio.fail_after(_ANSWER_TIMEOUT):
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
