"""What the vault costs: each figure is a ratio of splicer with it to splicer without, measured in turns in one run.

    python bench/vault_cost.py

From the checkout, with what its tests need installed; a minute, on a machine that has nothing else to do.

- The journal: the hub's time for a frame of 160 bytes, with and without the store in front of each.
- The registration: WebSocket handshakes a second through an edge with one worker, whose clients hang up at once.
- Frames of 160 bytes a second, back and forth, over 100 connections.
"""

# ruff: noqa: E402 - the checkout has to be on the path before its modules can be imported
from __future__ import annotations

import inspect
import socket
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import trio
import trio.testing

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.edges import ROUTE, Round, in_turns, load, pods, started, tell
from splicer.relay import hub as hub_module
from splicer.relay.hub import Hub
from splicer.relay.pipes import NullRegistry
from splicer.relay.tunnel import TunnelLimits
from splicer.vault.journal import Journal
from tests.e2e.edge import Edge
from tests.e2e.site import Site

_ROUNDS = 8
_SECONDS = 1.5  # of a round of load
_STORE = "self._words[pipe.place] = leg.word\n"
_FRAME = bytes(160)


# ---- the journal ----


class _Journalled(NullRegistry):
    """Keeps nothing, but has a real journal."""

    def __init__(self) -> None:
        self.words: Any = Journal().words


def _without_store() -> Callable[..., None]:
    """`Hub._pass` as it is, but for the line with the store."""
    source = textwrap.dedent(inspect.getsource(Hub._pass))
    assert source.count(_STORE) == 1, "Hub._pass has changed"  # noqa: S101 - a measurement of nothing is worse
    scope = dict(vars(hub_module))
    exec(source.replace(_STORE, "\n"), scope)  # noqa: S102 - splicer's own code
    passing: Callable[..., None] = scope["_pass"]
    return passing


async def _hub_times(tunnels: int = 64, batches: int = 2000) -> tuple[float, float]:
    """Seconds that the hub takes for a frame, with the store and without: medians over batches, in turns."""
    hub = Hub(registry=_Journalled())
    passes = Hub._pass, _without_store()
    times: tuple[list[float], list[float]] = [], []
    with hub.opened(), ExitStack() as stack:
        async with trio.open_nursery() as nursery:
            pairs = [(_connected(stack), _connected(stack)) for _ in range(tunnels)]
            for (_, client), (pod, _) in pairs:
                nursery.start_soon(hub.splice, client, pod, TunnelLimits(3600.0, 3600.0, 3600.0))
            await trio.testing.wait_all_tasks_blocked()
            for batch in range(batches):
                which = batch % 2
                setattr(Hub, "_pass", passes[which])  # noqa: B010 - mypy rightly forbids the assignment
                times[which].append(_batch(hub, [(near, far) for (near, _), (_, far) in pairs]) / tunnels)
            setattr(Hub, "_pass", passes[0])  # noqa: B010
            nursery.cancel_scope.cancel()
    return median(times[0]), median(times[1])


def _batch(hub: Hub, ends: list[tuple[socket.socket, socket.socket]]) -> float:
    """A frame for each tunnel; the seconds that the hub took for all of them."""
    for near, _ in ends:
        near.send(_FRAME)
    begun = time.perf_counter()
    hub.turn()
    lasted = time.perf_counter() - begun
    for _, far in ends:
        assert len(far.recv(len(_FRAME) + 1)) == len(_FRAME)  # noqa: S101 - one turn was enough for all
    return lasted


def _connected(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = stack.enter_context(socket.create_connection(listener.getsockname()))
        far = stack.enter_context(listener.accept()[0])
    for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.setblocking(False)
    return near, far


# ---- whole edges ----


def _compare(name: str, run: Callable[[Edge], Round], with_vault: Edge, without: Edge) -> None:
    """Medians, and the median of the ratios of neighbours."""
    pairs = in_turns(run, with_vault, without, _ROUNDS)
    for label, rounds in zip(("with", "without"), zip(*pairs, strict=True), strict=True):
        tell(
            f"  {label:8}{median(r.rate for r in rounds):9,.0f} {name}/s; CPU of each: "
            f"worker {median(r.worker for r in rounds) * 1e6:.1f} us, "
            f"supervisor {median(r.supervisor for r in rounds) * 1e6:.1f} us"
        )
    cost = 1 - median(one.rate / other.rate for one, other in pairs)
    more = median(one.worker / other.worker for one, other in pairs) - 1
    tell(f"  cost of the vault: {cost:.1%} of the rate; {more:.1%} more CPU of the worker")


def main() -> None:
    """See above."""
    stored, bare = trio.run(_hub_times)
    tell("journal: hub time of a frame")
    tell(f"  with    {stored * 1e6:9.2f} us\n  without {bare * 1e6:9.2f} us")
    tell(f"  cost of the store: {stored / bare - 1:.1%}")
    site = Site(pods=2)
    place = site.take()
    with ExitStack() as stack:
        stack.enter_context(pods(place))
        with_vault = started(stack, site, site.toml(ROUTE))
        without = started(stack, site, site.toml(ROUTE), Path(__file__).parent / "unvaulted")
        for title, mode, clients in (
            ("registration", "handshakes", 32),
            ("frames, 100 connections", "frames", 100),
        ):
            tell(f"{title}: medians of {_ROUNDS} rounds of {_SECONDS:g} s")
            _compare(mode, partial(load, mode, clients, _SECONDS, place), with_vault, without)


if __name__ == "__main__":
    main()
