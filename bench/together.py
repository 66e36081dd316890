"""Two peers under the same load at the same time, on one processor: what disturbs one disturbs the other as well.

In turns (`bench.pairs`) a ratio of two costs varies by a tenth where other programs run: the machine is another one in
the next second. Here it is the same, so a difference of a few per cent shows. The load is a closed loop, slowed by
both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

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
            with ExitStack() as stack:
                clients = [stack.enter_context(one.client(mode, one.proxy, {"clients": CLIENTS})) for one in turns]
                for client in clients:
                    client.wait_ready()
                used.append([_used(proxy) for proxy in proxies])
                for client in clients if number % 2 == 0 else reversed(clients):
                    client.go()
                counts.append([_count(turn, client.result()) for turn, client in zip(turns, clients, strict=True)])
                for client in clients:
                    client.end()
        time.sleep(rest)
        used.append([_used(proxy) for proxy in proxies])
    return [_costs(before, after, count) for before, after, count in zip(used, used[1:], counts, strict=False)]


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
