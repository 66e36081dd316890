"""How long an operator's look takes, and how long calls wait for it: 1,000 tunnels to 1,000 pods, two workers.

    python bench/scrape.py [--pods 1000] [--scrapes 50] [--seconds 5]

From the checkout, with what its tests need installed; a minute and a half, on a machine that has nothing else to do.

- GET /metrics and GET /tunnels, one after the other, on a connection that stays: what they take, and how much comes. A
  scrape is computed once a second at most, so there is a pause before each.
- Frames of 160 bytes, to the pod and back every 20 ms, in tunnels of both workers: the longest that one took, while
  nobody looks, and while somebody looks ten times a second.

The law: 95 of 100 scrapes take less than 100 ms. If it is broken, the exit code is 1.
"""

# ruff: noqa: E402 - the checkout has to be on the path before its modules can be imported
from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from statistics import quantiles
from typing import Any

import trio

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.edges import ROUTE, pods, started, tell
from tests.e2e.calls import tunnel
from tests.e2e.edge import Edge
from tests.e2e.fleet import echoes, several
from tests.e2e.site import Place, Site, free_port
from tests.e2e.wire import Wire, dial, request

_LAW = 0.1  # seconds
_WORKERS = 2
_PLACES = 4  # addresses that all pods share
_TALKERS = 4  # tunnels of a worker whose frames are timed
_FRAME = bytes(160)  # 20 ms of telephone speech
_INTERVAL = 0.02  # seconds
_POLL_INTERVAL = 0.1  # seconds between two looks
_FRESH = 1.1  # seconds after which a scrape is computed anew

Address = tuple[str, int]


# ---- an edge with many calls ----


def _text(site: Site, admin: Address, names: Sequence[str], places: Sequence[Place]) -> str:
    text = several(site, _WORKERS, admin="{}:{}".format(*admin), routes=ROUTE)
    table = "[resolver.hosts]\n"
    addresses = (places[number % len(places)].address for number in range(len(names)))
    hosts = "".join(f'"{name}.pods.test" = "{address}"\n' for name, address in zip(names, addresses, strict=True))
    before, found, after = text.partition(table)
    assert found, "Site.toml has changed"  # noqa: S101 - then no call would come about
    return before + table + hosts + after


async def _calls(stack: AsyncExitStack, edge: Edge, names: Sequence[str]) -> dict[str, Wire]:
    """A tunnel to each pod, with a frame back and forth."""
    wires = {}
    for name in names:
        wires[name] = await stack.enter_async_context(tunnel(edge, f"/bench/{name}/call"))
        await echoes(wires[name], _FRAME)
    return wires


async def _talkers(admin: Address, wires: dict[str, Wire]) -> list[Wire]:
    """Some tunnels of each worker."""
    by_worker: dict[int, list[Wire]] = defaultdict(list)
    async with dial(admin) as wire:
        body, _ = await _get(wire, "/tunnels")
    rows: list[dict[str, Any]] = json.loads(body)["tunnels"]
    for row in rows:
        by_worker[row["worker"]].append(wires[row["path"].split("/")[2]])
    if len(rows) != len(wires) or len(by_worker) != _WORKERS:
        sys.exit(f"{len(rows)} tunnels of {len(wires)} are listed, and {len(by_worker)} workers of {_WORKERS}")
    return [wire for of_one in by_worker.values() for wire in of_one[:_TALKERS]]


# ---- looks ----


async def _get(wire: Wire, path: str) -> tuple[bytes, float]:
    """The answer, and how many seconds it took."""
    begun = trio.current_time()
    await wire.send(request("GET", path, host="127.0.0.1"))
    reply = await wire.reply()
    lasted = trio.current_time() - begun
    if reply.status != 200:
        sys.exit(f"{path}: {reply.line.decode()} {reply.body.decode()}")
    return reply.body, lasted


async def _looks(admin: Address, path: str, times: int, pause: float = 0.0) -> tuple[bytes, list[float]]:
    """The last answer of some, and how long all of them took; the first look, a warm-up, is not in."""
    lasted = []
    async with dial(admin) as wire:
        await _get(wire, path)
        for _ in range(times):
            await trio.sleep(pause)
            body, seconds = await _get(wire, path)
            lasted.append(seconds)
    return body, lasted


async def _keep_looking(admin: Address, path: str, until: float) -> None:
    async with dial(admin) as wire:
        due = trio.current_time()
        while due < until:
            await _get(wire, path)
            due = max(due + _POLL_INTERVAL, trio.current_time())
            await trio.sleep_until(due)


# ---- frames ----


async def _frame_times(talkers: Sequence[Wire], seconds: float, admin: Address, path: str | None) -> list[float]:
    """How long frames took to the pod and back, while somebody looks at a path, or nobody at any."""
    times: list[float] = []
    async with trio.open_nursery() as nursery:
        begun = trio.current_time()
        for number, wire in enumerate(talkers):
            first = begun + _INTERVAL * number / len(talkers)
            nursery.start_soon(_talk, wire, first, begun + seconds, times)
        if path is not None:
            nursery.start_soon(_keep_looking, admin, path, begun + seconds)
    return times


async def _talk(wire: Wire, due: float, until: float, times: list[float]) -> None:
    while due < until:
        await trio.sleep_until(due)
        begun = trio.current_time()
        await echoes(wire, _FRAME)
        now = trio.current_time()
        times.append(now - begun)
        due = max(due + _INTERVAL, now)


# ---- what comes of it ----


def _told(times: list[float]) -> str:
    cuts = quantiles(times, n=20, method="inclusive")
    return f"p50 {cuts[9] * 1e3:7.2f} ms, p95 {cuts[18] * 1e3:7.2f} ms, longest {max(times) * 1e3:7.2f} ms"


async def _measure(count: int, scrapes: int, seconds: float) -> bool:
    """Whether the law is kept."""
    site = Site(pods=_PLACES)
    places = [site.take() for _ in range(_PLACES)]
    names = [f"call-{number}" for number in range(count)]
    admin = "127.0.0.1", free_port()
    with ExitStack() as processes:
        for place in places:
            processes.enter_context(pods(place))
        edge = started(processes, site, _text(site, admin, names, places))
        async with AsyncExitStack() as stack:
            wires = await _calls(stack, edge, names)
            talkers = await _talkers(admin, wires)
            tell(f"{count:,} tunnels to as many pods, {_WORKERS} workers; {scrapes} looks at each page")
            text, scraped = await _looks(admin, "/metrics", scrapes, _FRESH)
            listing, listed = await _looks(admin, "/tunnels", scrapes)
            series = sum(not line.startswith(b"#") for line in text.splitlines())
            tell(f"  GET /metrics  {_told(scraped)}; {len(text):,} bytes, {series:,} series")
            tell(f"  GET /tunnels  {_told(listed)}; {len(listing):,} bytes")
            tell(f"frames to the pod and back in {len(talkers)} tunnels, {seconds:g} s each")
            for path in (None, "/metrics", "/tunnels"):
                times = await _frame_times(talkers, seconds, admin, path)
                tell(f"  {f'GET {path} 10/s' if path else 'no looks':18} {_told(times)}; {len(times):,} frames")
    kept = quantiles(scraped, n=20, method="inclusive")[18] < _LAW
    tell(f"p95 of GET /metrics under {_LAW * 1e3:g} ms: {'kept' if kept else 'BROKEN'}")
    return kept


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=1000, help="at least 50")
    parser.add_argument("--scrapes", type=int, default=50, help="at least 2")
    parser.add_argument("--seconds", type=float, default=5.0, help="for frames, of each of three rounds")
    asked = parser.parse_args()
    if asked.pods < 50 or asked.scrapes < 2:
        parser.error("too few of them")
    sys.exit(0 if trio.run(_measure, asked.pods, asked.scrapes, asked.seconds) else 1)


if __name__ == "__main__":
    main()
