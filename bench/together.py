"""Two running peers on one processor, and the same load for both: in turns, or at the same time.

In turns, each has the processor for itself, as it usually has. But where other programs run, the ratio of two costs
varies by a tenth: the machine is another one in the next second.

At the same time, what disturbs one disturbs the other as well, so that a difference of a few per cent shows all the
same. But each finds the processor's caches full of the other's code and data: a call takes a third more, and what comes
in addition to it takes twice as much. The load is a closed loop, slowed by both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import chain

from attrs import frozen

from bench.fleet import Fleet
from bench.machine import cpu_seconds
from bench.peers.base import Peer, Proxy
from bench.scenarios.base import Result, Turn, checked
from bench.site import Site

CLIENTS = 16  # of each peer
_REFUSED = 0.01  # share of handshakes or requests; if more of them fail, the peer has failed


@frozen
class Cost:
    """What one item took of a peer, in microseconds of CPU time.

    Args:
        whole: of all processes.
        outside: of those that carry no calls.
    """

    whole: float
    outside: float


def measured(
    site: Site,
    peers: tuple[Peer, Peer],
    mode: str,
    pairs: int,
    seconds: float,
    rest: float,
    told: Callable[[int], None],
    *,
    at_once: bool,
) -> list[tuple[Cost, Cost]]:
    """Measure both, so many times.

    A peer's time goes on until the next load begins, so work that it does later isn't left out.

    Args:
        site: the pods, names and processors.
        peers: both.
        mode: of the clients: "handshakes" or "http".
        pairs: how often.
        seconds: of a load.
        rest: seconds after the last load that count as well.
        told: called with the number of the pair that begins.
        at_once: both loads at the same time.

    Raises:
        PeerFailed: a peer doesn't start, or does its work wrong.
        TrafficFailed: the clients can't work.
    """
    used, counts = [], []
    with Fleet(site) as fleet:
        proxies = [fleet.proxy(peer) for peer in peers]
        turns = [Turn(site, *both, seconds, {}) for both in zip(peers, proxies, strict=True)]
        for number in range(pairs):
            told(number)
            used.append([_used(proxy) for proxy in proxies])
            order = turns if number % 2 == 0 else turns[::-1]
            came = dict(_loaded(mode, order) if at_once else chain(*(_loaded(mode, [turn]) for turn in order)))
            counts.append([came[turn.peer.name] for turn in turns])
        time.sleep(rest)
        used.append([_used(proxy) for proxy in proxies])
    return [_costs(before, after, count) for before, after, count in zip(used, used[1:], counts, strict=False)]


def _loaded(mode: str, turns: Sequence[Turn]) -> list[tuple[str, int]]:
    """Load these at the same time; the names of the peers, and what each has served."""
    with ExitStack() as stack:
        clients = [stack.enter_context(one.client(mode, one.proxy, {"clients": CLIENTS})) for one in turns]
        for client in clients:
            client.wait_ready()
        for client in clients:
            client.go()
        served = [(turn.peer.name, _count(turn, client.result())) for turn, client in zip(turns, clients, strict=True)]
        for client in clients:
            client.end()
    return served


def _used(proxy: Proxy) -> tuple[float, float]:
    workers = set(proxy.workers())
    return cpu_seconds(workers), cpu_seconds(set(proxy.pids()) - workers)


def _count(turn: Turn, result: Result) -> int:
    checked(turn, result, lost=int(result["count"] * _REFUSED))
    return int(result["count"])


def _costs(
    before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]], counts: Sequence[int]
) -> tuple[Cost, Cost]:
    first, second = (
        Cost((sum(late) - sum(early)) / count * 1e6, (late[1] - early[1]) / count * 1e6)
        for early, late, count in zip(before, after, counts, strict=True)
    )
    return first, second
