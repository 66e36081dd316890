"""What Prometheus reads: every family from the start, no series by a client, no file of the dead."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random
from urllib.parse import quote

import pytest
import trio

from tests.e2e.operator import (
    Growth,
    Scrape,
    address_of,
    kill_admin,
    observed,
    scrape,
)
from tests.kit.calls import handshake, tunnel
from tests.kit.dns_server import DnsServer
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import ask, dial, request

_COUNTERS = (
    "attempts",
    "authorize",
    "config_reloads",
    "connections",
    "connections_refused",
    "connections_empty",
    "crashes",
    "discovery_events",
    "discovery_failures",
    "discovery_lists",
    "discovery_restarts",
    "discovery_rows_skipped",
    "endpoint_full",
    "ejections",
    "ejections_refused",
    "observer_errors",
    "fallbacks",
    "health_checks",
    "health_checks_late",
    "hook_blocks",
    "hook_calls",
    "log_lines_dropped",
    "rate_limited",
    "requests",
    "resolver_cache_hits",
    "resolver_failures",
    "resolver_queries",
    "resolver_stale_answers",
    "retries",
    "route_full",
    "spans",
    "tunnel_bytes",
    "tunnel_closes",
    "tunnels",
    "tunnels_adopted",
    "worker_restarts",
    "tls_handshakes",
    "tls_restarts",
    "tls_truncated",
)
_GAUGES = (
    "admin_streams",
    "build_info",
    "config_generation",
    "config_last_reload_success",
    "config_last_reload_timestamp_seconds",
    "connections_active",
    "drain_remaining_tunnels",
    "discovery_synced",
    "discovery_unsynced_seconds",
    "draining",
    "endpoint_snapshot_generation",
    "endpoint_tunnels_most",
    "endpoints",
    "pipes",
    "relay_workers",
    "span_queue",
    "start_time_seconds",
    "tunnels_active",
    "vault_connected",
    "workers_serving",
    "workers_wanted",
    "tls_connections",
    "tls_processes",
    "certificate_not_after_timestamp_seconds",
    "certificate_reload_success",
)
_HISTOGRAMS = (
    "authorize_duration_seconds",
    "event_loop_lag_seconds",
    "handshake_duration_seconds",
    "health_check_duration_seconds",
    "hook_duration_seconds",
    "request_duration_seconds",
    "tunnel_duration_seconds",
    "tls_handshake_duration_seconds",
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


# ---- what a client can't do ----


@pytest.fixture
async def plain(edge: Edge, nursery: trio.Nursery) -> Place:
    """A pod for plain HTTP."""
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    return place


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
