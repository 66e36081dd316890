"""SIGHUP: the next request goes by the new file, and nothing that is under way notices."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.pods import echo, http_pod, ok, raw_pod, switching, tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import Wire, ask, dial, request, until

NEW = """
[[routes]]
name = "new"
path = "/new"
respond = { status = 200, body = "new\\n" }
"""
BROKEN = """
[[routes]]
name = "broken"
regex = '^/(?<pod>[^/]+)/$'
upstream = "pdo"
rewrite = "/{pdo}"
colour = "red"
"""


@pytest.fixture(scope="module")
def running_edge() -> Iterator[Edge]:
    site = Site(pods=9)
    with running(site.toml(), site) as edge:
        yield edge


@pytest.fixture
async def edge(running_edge: Edge) -> AsyncIterator[Edge]:
    """The edge with its first file, before and after."""
    yield running_edge
    assert (await running_edge.reload(running_edge.site.toml()))["event"] == "reload"


async def test_the_next_request_uses_the_new_routes(edge: Edge) -> None:
    async with dial(edge.address) as kept:
        await kept.send(request("GET", "/new"))
        assert (await kept.reply()).status == 404
        line = await edge.reload(edge.site.toml(NEW))
        assert line["event"] == "reload"
        assert "new" in " ".join(line["changes"])
        await kept.send(request("GET", "/new"))
        assert (await kept.reply()).body == b"new\n"
    assert (await ask(edge.address, "GET", "/new")).body == b"new\n"
    await edge.reload(edge.site.toml())
    assert (await ask(edge.address, "GET", "/new")).status == 404


async def test_live_tunnels_and_exchanges_are_untouched(edge: Edge, nursery: trio.Nursery) -> None:
    place, slow = edge.site.take(), edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    go_on = trio.Event()

    async def in_two_parts(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        await go_on.wait()
        await wire.send(b"later")

    await raw_pod(nursery, slow.address, slow.port, in_two_parts)
    async with tunnel(edge, f"/ws/{place.name}/x") as call, dial(edge.address) as exchange:
        await exchange.send(request("GET", f"/http/{slow.name}/"))
        await exchange.until(b"first")
        for n in range(3):
            await call.send(b"before %d" % n)
            assert await call.exactly(8) == b"before %d" % n
            await call.send(b"in flight")
            # Not even the route is left.
            await edge.reload(f'[server]\nlisten = "127.0.0.1:0"\nadmin = "off"\n{NEW}# {n}')
            assert await call.exactly(9) == b"in flight"
        assert (await ask(edge.address, "GET", f"/ws/{place.name}/x")).status == 404
        go_on.set()
        assert await exchange.exactly(5) == b"later"
        await call.send_eof()
        assert await call.rest() == b""
    line = await edge.line("tunnel_close", route="ws")
    assert line["bytes_to_pod"] == line["bytes_to_client"] == 3 * 17


async def test_a_new_upstream_takes_the_next_call(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    old = await http_pod(nursery, place.address, place.port)
    new = await http_pod(nursery, place.twin, place.port)
    assert (await ask(edge.address, "GET", f"/http/{place.name}/")).body == place.address.encode()
    await edge.reload(edge.site.toml().replace(f'pods.test" = "{place.address}"', f'pods.test" = "{place.twin}"'))
    assert (await ask(edge.address, "GET", f"/http/{place.name}/")).body == place.twin.encode()
    assert (len(old.seen), len(new.seen)) == (1, 1)


async def test_an_invalid_file_changes_nothing_and_every_fault_is_logged(edge: Edge) -> None:
    bad = edge.site.toml(BROKEN, deadlines='head = "soon"').replace('admin = "off"', 'admin = "off"\nworkrs = 2')
    line = await edge.reload(bad)
    assert line["event"] == "reload_failed"
    faults = [str(line["fault"]) for line in edge.find("reload_fault")]
    for words in (
        ("server", "workrs", "workers"),
        ("deadlines.head", "soon"),
        ('"broken"', "rewrite", "{pdo}", "{pod}"),
        ('"broken"', "upstream", "pdo", "pod"),
        ('"broken"', "colour"),
    ):
        assert any(all(word in fault for word in words) for fault in faults), (words, faults)
    assert all(str(edge.path) in fault for fault in faults)
    assert (await ask(edge.address, "GET", "/health")).status == 200


async def test_a_reload_that_changes_a_lot_is_logged_in_one_json_line() -> None:
    site = Site(pods=99)
    with running(Site(pods=1).toml(), site) as edge:
        assert (await edge.reload(site.toml()))["event"] == "reload"


@pytest.mark.parametrize("text", ["this is no TOML", "", "[[routes]]\n", "\0"])
async def test_a_file_that_is_none_changes_nothing(edge: Edge, text: str) -> None:
    assert (await edge.reload(text))["event"] == "reload_failed"
    assert edge.find("reload_fault")
    assert (await ask(edge.address, "GET", "/health")).status == 200


async def test_a_file_that_is_gone_changes_nothing(edge: Edge) -> None:
    edge.path.unlink()
    edge.signal(signal.SIGHUP)
    await edge.line("reload_failed")
    assert (await ask(edge.address, "GET", "/health")).status == 200


async def test_keys_that_need_a_restart_are_named(edge: Edge) -> None:
    text = edge.site.toml().replace('"127.0.0.1:0"', '"127.0.0.1:1"').replace("[server]", "[server]\nworkers = 2")
    assert (await edge.reload(text))["event"] == "reload"
    assert {line["key"] for line in edge.find("reload_needs_restart")} >= {"server.listen", "server.workers"}
    assert (await ask(edge.address, "GET", "/health")).status == 200
    await edge.reload(text + "\n#")
    assert {line["key"] for line in edge.find("reload_needs_restart")} <= {"server.listen", "server.workers"}


@pytest.mark.slow
async def test_many_reloads_under_load_lose_nothing(edge: Edge, nursery: trio.Nursery) -> None:
    place, other = edge.site.take(), edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    await http_pod(nursery, other.address, other.port, lambda seen: ok(seen.target))
    await ask(edge.address, "GET", f"/http/{other.name}/")
    done = False
    counts = {"echoes": 0, "requests": 0, "calls": 0}

    async def talk() -> None:
        async with tunnel(edge, f"/ws/{place.name}/long") as wire:
            while not done:
                frame = b"%0160d" % counts["echoes"]
                await wire.send(frame)
                assert await wire.exactly(160) == frame
                counts["echoes"] += 1

    async def browse() -> None:
        async with dial(edge.address) as wire:
            while not done:
                await wire.send(request("GET", f"/http/{other.name}/{counts['requests']}"))
                assert (await wire.reply()).status == 200
                counts["requests"] += 1

    async def ring() -> None:
        while not done:
            async with tunnel(edge, f"/ws/{place.name}/short") as wire:
                await wire.send(b"hello")
                assert await wire.exactly(5) == b"hello"
            counts["calls"] += 1

    async with trio.open_nursery() as load:
        for worker in (talk, talk, talk, browse, browse, ring, ring):
            load.start_soon(worker)
        for n in range(20):
            await edge.reload(edge.site.toml(NEW if n % 2 else BROKEN if n % 5 == 4 else ""))
        for _ in range(20):  # a burst of signals may be one
            edge.signal(signal.SIGHUP)
        before = dict(counts)
        await until(lambda: all(counts[key] > before[key] for key in counts))
        done = True
    assert min(counts.values()) > 20


async def test_a_handshake_under_way_goes_by_the_file_that_it_began_with(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    go_on = trio.Event()

    async def slow(wire: Wire) -> None:
        head = await wire.head()
        await go_on.wait()
        await wire.send(switching(head))
        await echo(wire)

    pod = await raw_pod(nursery, place.address, place.port, slow)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws/{place.name}/x"))
        await until(lambda: pod.connections)
        await edge.reload(edge.site.toml().replace(place.address, "127.0.0.1"))
        go_on.set()
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
