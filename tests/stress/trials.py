"""An edge under fire: a storm goes on while something happens to its processes, and all must be right in the end."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import trio

from tests.kit.edge import Edge, running
from tests.kit.site import Site
from tests.kit.workers import worker_pids
from tests.stress.kills import Killer
from tests.stress.report import Report
from tests.stress.storm import storming

Fault = Callable[[], Awaitable[None]]
Tell = Callable[[Report], None]
TIMEOUT = 40.0  # seconds without a byte: workers may be killed faster than a busy machine can start new ones
_MAX_SECONDS = 180.0  # seconds of a storm; it should take half of that
_SLACK = 4  # descriptors that a process may have more than before, for no reason of ours


def text_of(site: Site, workers: int) -> str:
    """A routing.toml; half-closed tunnels live as long as they are planned to."""
    text = site.toml(deadlines='half_closed = "5m"')
    return text.replace('admin = "off"', f'admin = "127.0.0.1:0"\nworkers = {workers}')


@contextmanager
def edge_with(workers: int) -> Iterator[Edge]:
    """An edge with so many workers."""
    site = Site(pods=8)
    with running(text_of(site, workers), site) as edge:
        yield edge


async def kill_workers(edge: Edge, count: int, pause: float, *, refill: bool, seed: int = 1) -> None:
    """SIGKILL so many; see `Killer`. No worker may die for another reason."""
    killer = Killer(lambda: worker_pids(edge.pid), Random(seed), pause, refill)
    await killer.run(count)
    await deaths_are_told(edge, count)


async def deaths_are_told(edge: Edge, count: int) -> None:
    """Just so many; an edge whose workers die for other reasons fails its own check in the end."""
    await edge.expected(count, "worker_died", reason="SIGKILL")


async def signal_again(edge: Edge, signum: signal.Signals, times: int, event: str) -> None:
    """Signal the supervisor, again when the log has told the event of the last time."""
    for count in range(1, times + 1):
        edge.signal(signum)
        await edge.wait_lines(count, event)
        await trio.sleep(0.2)


async def storm_during(
    fault: Fault,
    edge: Edge,
    tell: Tell,
    *,
    tunnels: int,
    seconds: float = 8.0,
    churn: float = 0.0,
    answered: float = TIMEOUT,
    seed: int = 1,
) -> Report:
    """A storm while something happens to the edge; no descriptor of the supervisor's may be left over.

    Args:
        fault: what happens.
        edge: where.
        tell: gets the report.
        tunnels: so many are kept alive.
        seconds: how long one lives at most.
        churn: short calls a second besides.
        answered: seconds that a handshake may take.
        seed: decides what all do.
    """
    before = await _open_at_rest(edge)
    edge.mark()
    report = await storm(fault, edge, tell, tunnels=tunnels, seconds=seconds, churn=churn, answered=answered, seed=seed)
    with trio.move_on_after(TIMEOUT):
        while _more(edge, before).total() > _SLACK:  # noqa: ASYNC110 - what other processes do sets no event
            await trio.sleep(0.1)
    assert _more(edge, before).total() <= _SLACK, f"left open: {_more(edge, before)}"
    return report


async def storm(
    fault: Fault,
    edge: Edge,
    tell: Tell,
    *,
    tunnels: int,
    seconds: float = 8.0,
    churn: float = 0.0,
    answered: float = TIMEOUT,
    seed: int = 1,
) -> Report:
    """See `storm_during`. The edge may be another one in the end, at the same address."""
    with trio.fail_after(_MAX_SECONDS):
        async with storming(edge.address, edge.site, seed=seed, patience=TIMEOUT, answered=answered) as weather:
            weather.keep(tunnels, seconds)
            if churn:
                weather.churn(churn)
            await weather.full()
            await fault()
            report = await weather.finish()
    tell(report)
    report.check()
    return report


def files_of(pid: int) -> list[str]:
    """What a process has open, at one moment: "socket:[4711]", "pipe:[12]" ..."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            links.append(str(descriptor.readlink()))
    return links


async def _open_at_rest(edge: Edge) -> Counter[str]:
    """What the supervisor has open when all of its processes have come up."""
    last, now = None, _open(edge)
    while last != now:
        await trio.sleep(0.5)
        last, now = now, _open(edge)
    return now


def _more(edge: Edge, before: Counter[str]) -> Counter[str]:
    return _open(edge) - before


def _open(edge: Edge) -> Counter[str]:
    """What the supervisor has open, by kind; of pipes, those that no worker has: the vault keeps one end of all."""
    pooled = {link for pid in worker_pids(edge.pid).values() for link in edge.open_files(pid)}
    links = edge.open_files(edge.pid)
    return Counter(link.partition(":")[0] for link in links if not (link in pooled and link.startswith("pipe")))
