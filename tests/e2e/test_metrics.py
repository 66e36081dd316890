"""What Prometheus reads: it is what the clients counted, whoever was killed meanwhile."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from urllib.parse import quote

import pytest
import trio
from attrs import define

from tests.e2e.operator import (
    Growth,
    Scrape,
    address_of,
    kill_admin,
    no_tunnel_is_left,
    observed,
    scrape,
    scrape_until,
    watched,
)
from tests.kit.calls import handshake, tunnel
from tests.kit.dns_server import DnsServer
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker, tunnel_at
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import EndOfStream, Wire, ask, dial, request
from tests.kit.workers import worker_pids
from tests.stress.kills import Killer

_COUNTERS = (
    "attempts",
    "config_reloads",
    "connections",
    "connections_refused",
    "crashes",
    "observer_errors",
    "fallbacks",
    "log_lines_dropped",
    "requests",
    "resolver_cache_hits",
    "resolver_failures",
    "resolver_queries",
    "resolver_stale_answers",
    "tunnel_bytes",
    "tunnel_closes",
    "tunnels",
    "tunnels_adopted",
    "worker_restarts",
)
_GAUGES = (
    "build_info",
    "config_generation",
    "config_last_reload_success",
    "config_last_reload_timestamp_seconds",
    "connections_active",
    "drain_remaining_tunnels",
    "draining",
    "endpoints",
    "pipes",
    "start_time_seconds",
    "tunnels_active",
    "vault_connected",
    "workers_serving",
    "workers_wanted",
)
_HISTOGRAMS = (
    "event_loop_lag_seconds",
    "handshake_duration_seconds",
    "request_duration_seconds",
    "tunnel_duration_seconds",
)
_RESOLVER = '[resolver]\nnameservers = ["{}.250:{}"]\n'
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "")


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(observed(site, metrics=True, extra=_RESOLVER.format(site.net, site.port)), site) as edge:
        yield edge


def directory_of(edge: Edge) -> Path:
    """Where its processes count."""
    [path] = {link for link in edge.open_files(edge.pid) if "/splicer-metrics-" in link}
    return Path(path)


def files_of(edge: Edge) -> set[str]:
    return {file.name for file in directory_of(edge).iterdir()}


# ---- what there is ----


async def test_the_first_scrape_has_a_sample_of_every_family() -> None:
    site = Site(pods=1)
    with running(observed(site, metrics=True), site) as edge:
        first = await scrape(edge)
        second = await scrape(edge, "metrics")
        for now in (first, second):
            kinds = {name: family.type for name, family in now.families.items()}
            assert kinds == {
                **{f"splicer_{name}": "counter" for name in _COUNTERS},
                **{f"splicer_{name}": "gauge" for name in _GAUGES},
                **{f"splicer_{name}": "histogram" for name in _HISTOGRAMS},
            }
            assert [name for name, family in now.families.items() if not family.samples] == []
            assert [name for name, family in now.families.items() if not family.documentation] == []
            assert now.total("workers_serving") == now.total("workers_wanted") == 2
            assert now.total("vault_connected") == 2
        assert first.values.keys() == second.values.keys()


async def test_the_address_for_a_scraper_has_nothing_else(edge: Edge) -> None:
    address = address_of(edge, "metrics")
    assert (await ask(address, "GET", "/healthz", host="metrics.example")).body == b"ok\n"
    reply = await ask(address, "GET", "/metrics", host="metrics.example")
    assert reply.values("Content-Type")[0].startswith(b"text/plain; version=0.0.4")
    assert Scrape.of(reply.body.decode()).total("workers_serving") == 2
    for target in ("/", "/status", "/tunnels", "/drain", "/config", "/upstreams", "/explain?target=/", "/ready"):
        for method in ("GET", "POST", "DELETE"):
            assert (await ask(address, method, target, host="127.0.0.1")).status == 404, (method, target)
    assert (await ask(address, "POST", "/metrics", host="127.0.0.1")).status == 405
    assert (await ask(edge.address, "GET", "/ready")).body == b"ready\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
async def test_nothing_stays_after_a_normal_end(signum: signal.Signals) -> None:
    site = Site(pods=1)
    with running(observed(site, 1), site) as edge:
        directory = directory_of(edge)
        assert files_of(edge)
        edge.signal(signum)
        assert await edge.exit_code() == 0
        assert not directory.exists()


# ---- what is counted ----


async def twice(wire: Wire) -> None:
    """A pod that says everything twice."""
    while data := await wire.some():
        await wire.send(2 * data)
    await wire.send_eof()


@define
class Clients:
    """Clients that count. What a pod says is twice what it hears."""

    opened: int = 0
    failed: int = 0
    to_pod: int = 0

    async def talk(self, wire: Wire, sizes: list[int]) -> None:
        for size in sizes:
            await wire.send(bytes(size))
            self.to_pod += size
            await wire.exactly(2 * size)


@pytest.fixture
async def place(edge: Edge, nursery: trio.Nursery) -> Place:
    """A pod that says everything twice."""
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port, twice)
    return place


@pytest.fixture
async def plain(edge: Edge, nursery: trio.Nursery) -> Place:
    """A pod for plain HTTP."""
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    return place


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.slow)])
async def test_the_sums_are_what_the_clients_counted(edge: Edge, place: Place, plain: Place, kills: int) -> None:
    """Calls are killed in the middle of their words, but neither at their first nor at their last."""
    clients, asked, chance = Clients(), 0, Random(4)
    path = f"/ws/{place.name}/x"
    before = await no_tunnel_is_left(edge)
    async with watched(edge):
        for number in range(kills):
            async with AsyncExitStack() as stack:
                wires = [await stack.enter_async_context(tunnel(edge, path)) for _ in range(12)]
                wires.append(await stack.enter_async_context(tunnel_at(edge, 1 + number % 2, path)))
                clients.opened += len(wires)
                for _ in range(5):
                    await ask(edge.address, "GET", f"/http/{plain.name}/x")
                    asked += 1
                await edge.wait_lines(asked, "exchange", path=f"/http/{plain.name}/x")
                async with trio.open_nursery() as nursery:
                    for wire in wires:
                        sizes = [chance.choice([1, 160, 640, 30_000, 300_000]) for _ in range(12)]
                        nursery.start_soon(clients.talk, wire, sizes)
                    await trio.sleep(chance.uniform(0, 0.02))
                    await kill_worker(edge, 1 + number % 2)
            closed = await edge.wait_lines(clients.opened, "tunnel_close", path=path)
    await no_tunnel_is_left(edge)
    after = await scrape_until(edge, lambda now: Growth(before, now)("worker_restarts_total") == kills)
    grown = Growth(before, after)
    assert len(closed) == clients.opened
    assert grown("tunnels_total") == grown("tunnels_total", route="ws", pod=place.name) == clients.opened
    assert grown("tunnel_closes_total") == clients.opened
    assert grown("tunnel_closes_total", closer="client", reason="eof") == clients.opened
    assert grown("tunnel_bytes_total", direction="to_pod") == clients.to_pod
    assert grown("tunnel_bytes_total", direction="to_client") == 2 * clients.to_pod
    assert grown("tunnels_adopted_total") == sum(line["adopted"] for line in closed) > 0
    assert grown("tunnel_duration_seconds_count", route="ws") == clients.opened
    assert grown("requests_total", route="ws", method="GET", status="1xx") == clients.opened
    assert grown("requests_total", route="http", method="GET", status="2xx") == asked
    assert grown("request_duration_seconds_count") == grown("request_duration_seconds_count", route="http") == asked
    assert grown("attempts_total", route="ws", upstream="pod", outcome="ok") == clients.opened
    assert grown("fallbacks_total") == 0
    for part in ("resolve", "connect", "handshake"):
        counted = grown("handshake_duration_seconds_count", part=part, outcome="opened")
        assert counted == clients.opened
    assert grown("worker_restarts_total") == kills
    assert after.total("workers_serving") == 2


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.slow)])
async def test_kills_under_full_load(edge: Edge, place: Place, kills: int) -> None:
    """Whoever is killed in the middle of a handshake or of a close may leave it uncounted: no more than that."""
    clients, killer = Clients(), Killer(lambda: worker_pids(edge.pid), Random(5), refill=True, salvo=1)
    crowd, sizes = 8, [160] * 10
    over = False

    async def client() -> None:
        while not over:
            try:
                async with tunnel(edge, f"/ws/{place.name}/x") as wire:
                    clients.opened += 1
                    await clients.talk(wire, sizes)
            except (EndOfStream, trio.BrokenResourceError):
                clients.failed += 1
            await ask_in_vain_or_not(edge)

    before = await no_tunnel_is_left(edge)
    async with watched(edge):
        async with trio.open_nursery() as nursery:
            for _ in range(crowd):
                nursery.start_soon(client)
            await killer.run(kills)
            over = True
        await edge.expected(kills, "worker_died", reason="SIGKILL")
    grown = Growth(before, await no_tunnel_is_left(edge))
    assert clients.to_pod == clients.opened * sum(sizes), "a call that was open has been cut"
    assert clients.failed <= kills * crowd
    assert clients.opened - kills <= grown("tunnels_total") <= clients.opened + clients.failed
    uncounted = clients.opened - grown("tunnel_closes_total")
    assert -clients.failed <= uncounted <= kills * crowd
    for direction, times in (("to_pod", 1), ("to_client", 2)):
        missing = times * clients.to_pod - grown("tunnel_bytes_total", direction=direction)
        assert 0 <= missing <= max(0.0, uncounted) * times * sum(sizes)
    assert grown("tunnels_adopted_total") > 0


async def ask_in_vain_or_not(edge: Edge) -> None:
    try:
        await ask(edge.address, "GET", "/health")
    except (EndOfStream, trio.BrokenResourceError):
        return


async def test_a_death_shows(edge: Edge) -> None:
    before = await scrape(edge)
    await kill_worker(edge)
    for _ in range(2):
        await scrape_until(edge, lambda now: Growth(before, now)("worker_restarts_total") == 1)
        await kill_admin(edge)


async def test_no_file_is_left_by_the_dead(edge: Edge) -> None:
    for slot in (1, 2):
        await kill_worker(edge, slot)
    edge.signal(signal.SIGUSR1)
    await edge.line("recycled")
    before = files_of(edge)
    for slot in (1, 2, 1):
        await kill_worker(edge, slot)
    await kill_admin(edge)
    edge.mark()
    edge.signal(signal.SIGUSR1)
    await edge.line("recycled")
    await scrape(edge)
    assert len(files_of(edge)) == len(before)


@pytest.mark.slow
async def test_counts_go_on_with_new_processes_and_new_code(edge: Edge, place: Place) -> None:
    clients, path = Clients(), f"/ws/{place.name}/x"
    before = await no_tunnel_is_left(edge)
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(tunnel_at(edge, 1 + number % 2, path)) for number in range(4)]
        clients.opened += len(wires)
        async with watched(edge):
            for event in ("recycled", "admin_died", "upgraded"):
                for wire in wires:
                    await clients.talk(wire, [1000])
                edge.mark()
                if event == "admin_died":
                    await kill_admin(edge)
                else:
                    edge.signal(signal.SIGUSR2 if event == "upgraded" else signal.SIGUSR1)
                await edge.line(event)
                grown = Growth(before, await scrape_until(edge, lambda now: now.total("tunnels_active") == 4))
                assert grown("tunnels_total", pod=place.name) == 4
                assert grown("tunnel_closes_total") == 0
        assert grown("worker_restarts_total") == 0
    closed = await edge.wait_lines(4, "tunnel_close", path=path)
    assert [line["adopted"] for line in closed] == [2] * 4
    assert sum(line["bytes_to_pod"] for line in closed) == clients.to_pod
    grown = Growth(before, await no_tunnel_is_left(edge))
    assert grown("tunnel_closes_total") == 4
    assert grown("tunnel_bytes_total", direction="to_pod") == clients.to_pod
    assert grown("tunnel_bytes_total", direction="to_client") == 2 * clients.to_pod
    assert grown("tunnels_adopted_total") == 2 * 4


async def test_bytes_of_live_calls_are_counted_at_once(edge: Edge, place: Place) -> None:
    before = await no_tunnel_is_left(edge)
    async with tunnel(edge, f"/ws/{place.name}/x") as wire:
        for number in range(1, 4):
            await Clients().talk(wire, [5000])
            grown = Growth(before, await scrape(edge))
            assert grown("tunnel_bytes_total", direction="to_pod") == number * 5000
            assert grown("tunnel_bytes_total", direction="to_client") == number * 10_000
            assert grown("tunnels_active", route="ws", pod=place.name) == 1
        await scrape_until(edge, lambda now: now.total("connections_active") == 1)


async def test_what_fails_is_counted(edge: Edge, nursery: trio.Nursery) -> None:
    """An attempt at an address where nobody listens, and then at its twin; and one where neither does."""
    half, nowhere = edge.site.take(), edge.site.take()
    await tunnel_pod(nursery, half.twin, half.port)
    before = await scrape(edge)
    async with tunnel(edge, f"/ws/{half.name}/x") as wire:
        await echoes(wire)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws1/{nowhere.name}/x"))
        assert (await wire.reply()).status == 502
    await edge.line("exchange", path=f"/ws1/{nowhere.name}/x")
    grown = Growth(before, await no_tunnel_is_left(edge))
    assert grown("attempts_total", route="ws", upstream="pod", outcome="connect_refused") == 1
    assert grown("attempts_total", route="ws", upstream="any", outcome="ok") == 1
    assert grown("fallbacks_total") == grown("fallbacks_total", route="ws", reason="connect_refused") == 1
    assert grown("attempts_total", route="ws1", upstream="pod", outcome="connect_refused") == 1
    assert grown("requests_total", route="ws1", status="5xx") == 1
    assert grown("handshake_duration_seconds_count", part="connect", outcome="failed") == 1
    assert grown("request_duration_seconds_count") == 0
    assert grown("tunnels_total", route="ws1") == 0


# ---- what a client can't do ----


def words(chance: Random) -> Iterator[str]:
    while True:
        yield f"x{chance.getrandbits(48):012x}"


def anything(chance: Random, place: Place, count: int) -> list[bytes]:
    """Requests of every kind with every method, in turn, each with words of its own."""
    word = words(chance)
    requests = []
    for number in range(count):
        kinds = (
            f"/{next(word)}/{next(word)}",
            f"/health?{next(word)}={next(word)}",
            f"/{quote(chance.randbytes(12), safe='')}",
            f"/ws/{next(word).upper()}/{next(word)}",
            f"/ws/{place.name}/{next(word)}",
            f"/http/{place.name}/{next(word)}?{next(word)}",
            f"/http2/{place.name}/{next(word)}",
        )
        unknown = f"/http/{next(word)}/x"  # for each of these a name server is asked
        target = unknown if number % 512 < len(_METHODS) else kinds[number // len(_METHODS) % len(kinds)]
        method = _METHODS[number % len(_METHODS)] or next(word).upper()
        fields = (f"X-Forwarded-For: 192.0.2.{number % 256}", f"X-Request-ID: {next(word)}", f"Origin: {next(word)}")
        requests.append(request(method, target, *fields, host=f"{next(word)}.test"))
    return requests


async def pipeline(edge: Edge, requests: list[bytes]) -> None:
    """Send them all, many at once; where one ends its connection the rest goes on another."""
    while requests:
        *some, last = requests[:100]
        last = last.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        async with dial(edge.address, "127.0.0.9") as wire:
            await wire.send(b"".join((*some, last)))
            answered = (await wire.rest()).count(b"HTTP/1.1 ")
        assert answered
        requests = requests[answered:]


async def knock(edge: Edge, chance: Random, count: int) -> None:
    """Handshakes for pods of any name."""
    for _, route, name in zip(range(count), itertools.cycle(["ws", "ws1"]), words(chance), strict=False):
        async with dial(edge.address) as wire:
            await wire.send(handshake(f"/{route}/{name}/x", host=f"{name}.test"))
            assert (await wire.reply()).status >= 400


@pytest.mark.slow
async def test_no_client_can_make_a_series(edge: Edge, plain: Place, nursery: trio.Nursery) -> None:
    await DnsServer.start(nursery, f"{edge.site.net}.250", edge.site.port)  # it knows no name
    chance = Random(6)

    async def wave(connections: int, count: int, handshakes: int) -> Scrape:
        async with trio.open_nursery() as nursery:
            for _ in range(connections):
                nursery.start_soon(pipeline, edge, anything(chance, plain, count))
            nursery.start_soon(knock, edge, chance, handshakes)
        return await scrape(edge)

    before = await wave(2, 600, 20)
    after = await wave(5, 2000, 50)
    grown = Growth(before, after)
    assert grown("requests_total") >= 10_000
    assert after.values.keys() == before.values.keys()
    methods = {dict(labels)["method"] for name, labels in after.values if name == "splicer_requests_total"}
    assert methods == {*_METHODS[:-1], "other"}


# ---- a reader of the log who stops ----


@pytest.mark.slow
async def test_a_stopped_reader_of_the_log_stalls_no_call(nursery: trio.Nursery) -> None:
    """And what he has missed is counted, line by line."""
    site = Site(pods=1)
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port)
    asked = 12_000
    with running(observed(site, 1), site) as edge:
        async with tunnel(edge, f"/ws/{place.name}/x") as call:
            edge.reading.clear()
            async with dial(edge.address) as wire:
                for _ in range(asked // 100):
                    await wire.send(100 * request("GET", "/health"))
                    for _ in range(100):
                        assert (await wire.reply()).status == 200
                    await echoes(call)
            async with tunnel(edge, f"/ws/{place.name}/x") as another:
                await echoes(another)
            dropped = (await scrape(edge)).total("log_lines_dropped_total")
            assert dropped > 0
            edge.reading.set()
            await edge.wait_lines(int(asked - dropped), "exchange")
            await echoes(call)
        await edge.line("tunnel_close")
        now = await scrape(edge)
        told = len(edge.find(("exchange", "tunnel_open", "tunnel_close")))
        assert told + now.total("log_lines_dropped_total") == asked + 2 * 2
