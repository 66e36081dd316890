"""Connections that begin with a PROXY header, through whole edges: what is told of them, and what they outlive."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from splicer.proxyproto import v1, v2
from splicer.proxyproto.facts import SSL, SSL_VERSION
from splicer.proxyproto.v2 import write_tlvs
from tests.e2e.operator import address_of
from tests.kit.calls import handshake
from tests.kit.edge import Edge, running
from tests.kit.fleet import several
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.site import Place, Site, free_port
from tests.kit.wire import Wire, ask, dial, request, until
from tests.kit.workers import kill_and_see, worker_pids

pytestmark = pytest.mark.slow

_CLIENT, _SERVER = ("192.0.2.7", 4711), ("203.0.113.1", 443)
_TLS = (SSL, b"\x01\0\0\0\1" + write_tlvs(((SSL_VERSION, b"TLSv1.3"),)))
_V1 = v1.encode(_CLIENT, _SERVER)
_V2 = v2.encode(_CLIENT, _SERVER, ((0x05, b"an-id"), _TLS, (0xEA, b"\x01vpce-1")))
_BALANCER = "127.0.0.50"
_HEALTH = request("GET", "/health")


def text(site: Site, listen: str, admin: str = "off") -> str:
    plain = several(site, 2, admin=admin, deadlines='head = "30s"')
    return plain.replace('listen = "127.0.0.1:0"', f"listen = {listen}")


_LISTEN = f"""[
    "127.0.0.1:0",
    {{ address = "127.0.0.2:0", proxy_protocol = ["{_BALANCER}"], vendor = "aws" }},
]"""


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(text(site, _LISTEN, f"127.0.0.1:{free_port()}"), site) as edge:
        yield edge


@pytest.fixture
def behind(edge: Edge) -> tuple[str, int]:
    """The address where headers are due."""
    [ready] = [line for line in edge.lines if line["event"] == "ready"]
    host, _, port = ready["listen"][1].rpartition(":")
    return host, int(port)


@asynccontextmanager
async def introduced(address: tuple[str, int], *parts: bytes, source: str = _BALANCER) -> AsyncIterator[Wire]:
    async with dial(address, source) as wire:
        for part in parts:
            await wire.send(part)
        yield wire


@pytest.mark.parametrize("header", [_V1, _V2], ids=["version 1", "version 2"])
async def test_the_header_names_the_client_in_log_and_request(
    edge: Edge, behind: tuple[str, int], nursery: trio.Nursery, header: bytes
) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    path = f"/http/{place.name}/x"
    async with introduced(behind, header + request("GET", path)) as wire:
        assert (await wire.reply()).status == 200
        await wire.send(request("GET", path))
        assert (await wire.reply()).status == 200
    lines = await edge.wait_lines(2, "exchange", path=path)
    told = {"proxy_id": "an-id", "proxy_vendor": "vpce-1", "tls_version": "TLSv1.3"} if header == _V2 else {}
    for line in lines:
        assert (line["client"], line["via"]) == ("192.0.2.7", _BALANCER)
        assert {field: line.get(field) for field in ("proxy_id", "proxy_vendor", "tls_version")} == {
            "proxy_id": None, "proxy_vendor": None, "tls_version": None
        } | told  # fmt: skip
    assert [head.get("X-Forwarded-For") for head in pod.seen] == ["192.0.2.7"] * 2
    assert [head.get("X-Forwarded-Proto") for head in pod.seen] == ["https" if header == _V2 else "http"] * 2


async def test_a_client_that_is_no_balancer_can_name_nobody(edge: Edge, behind: tuple[str, int]) -> None:
    for header in (_V1, _V2):
        edge.mark()
        async with introduced(behind, header + _HEALTH, source="127.0.0.51") as wire:
            assert (await wire.reply()).status == 400
            assert await wire.rest() == b""
        line = await edge.line("exchange", status=400)
        assert (line["client"], line["reason"], "via" in line) == ("127.0.0.51", "bad_request", False)
    async with introduced(behind, _HEALTH, source="127.0.0.51") as wire:
        assert (await wire.reply()).status == 200
    async with introduced(edge.address, _V1 + _HEALTH) as wire:
        assert (await wire.reply()).status == 400, "where no headers are due"


async def test_a_header_within_a_header_is_the_clients_forgery(edge: Edge, behind: tuple[str, int]) -> None:
    async with introduced(behind, _V1 + v1.encode(("198.51.100.9", 1), _SERVER) + _HEALTH) as wire:
        assert (await wire.reply()).status == 400
    await edge.line("exchange", status=400, client="192.0.2.7")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_HEALTH, "missing"),
        (b"PROXY TCP4 192.0.2.7\r\n", "malformed"),
        (b"PROXY UNKNOWN" + b"x" * 200, "too_long"),
        (v2.encode(_CLIENT, _SERVER, ((0x03, bytes(4)),)), "checksum"),
    ],
)
async def test_without_a_valid_header_it_is_closed_without_a_word(
    edge: Edge, behind: tuple[str, int], data: bytes, reason: str
) -> None:
    async with introduced(behind, data) as wire:
        assert await wire.end() in ("eof", "reset")
        assert not wire.buffer
    line = await edge.line("connection_refused", reason=f"proxy_protocol_{reason}")
    assert (line["client"], "status" in line) == (_BALANCER, False)


async def test_health_checks_are_counted_and_not_logged(edge: Edge, behind: tuple[str, int]) -> None:
    async def counted() -> float:
        metrics = (await ask(address_of(edge), "GET", "/metrics", host="127.0.0.1")).body.decode()
        [line] = [line for line in metrics.splitlines() if line.startswith("splicer_connections_empty_total ")]
        return float(line.split()[1])

    before = await counted()
    async with introduced(behind):
        pass
    async with introduced(behind, v2.encode(None, None)):
        pass
    async with introduced(behind, b"PROXY UNKNOWN\r\n" + _HEALTH) as wire:
        assert (await wire.reply()).status == 200
    while await counted() == before:  # noqa: ASYNC110 - another process counts
        await trio.sleep(0.05)
    assert await counted() == before + 1
    assert edge.find("connection_refused") == []
    [line] = await edge.wait_lines(1, "exchange", path="/health")
    assert (line["client"], "via" in line) == (_BALANCER, False)


async def _live(edge: Edge, path: str) -> dict[str, Any]:
    answer = await ask(address_of(edge), "GET", "/tunnels", host="127.0.0.1")
    [row] = [row for row in json.loads(answer.body)["tunnels"] if row["path"] == path]
    found: dict[str, Any] = row
    return found


@pytest.fixture
async def echo(edge: Edge, nursery: trio.Nursery) -> Place:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    return place


def _replaced(edge: Edge, killed: int) -> bool:
    serving = worker_pids(edge.pid).values()
    return len(serving) == 2 and killed not in serving


async def test_a_call_keeps_its_client_when_its_worker_is_killed(
    edge: Edge, behind: tuple[str, int], echo: Place
) -> None:
    path = f"/ws/{echo.name}/x"
    async with introduced(behind, _V2 + handshake(path)) as wire:
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
        for round_ in range(3):
            await wire.send(b"x" * 1000)
            assert await wire.exactly(1000) == b"x" * 1000
            row = await _live(edge, path)
            assert (row["client"], row["via"], row["adopted"]) == ("192.0.2.7", _BALANCER, round_)
            if round_ < 2:
                killed = worker_pids(edge.pid)[row["worker"]]
                await kill_and_see(killed)
                await edge.expected(1, "worker_died")
                await until(partial(_replaced, edge, killed))
    line = await edge.line("tunnel_close", path=path)
    assert (line["client"], line["via"], line["proxy_id"], line["tls_version"], line["adopted"]) == (
        "192.0.2.7", _BALANCER, "an-id", "TLSv1.3", 2
    )  # fmt: skip
    assert (line["bytes_to_pod"], line["bytes_to_client"]) == (3000, 3000)


async def test_idle_connections_keep_it_too_and_one_without_a_header_waits_on(
    edge: Edge, behind: tuple[str, int]
) -> None:
    async with (
        introduced(behind, _V2 + _HEALTH) as idle,
        introduced(behind) as silent,
        introduced(behind, _V2[:9]) as half,
    ):
        assert (await idle.reply()).status == 200
        await trio.sleep(1.2)  # the silent one is idle now
        edge.signal(signal.SIGUSR1)
        await half.send(_V2[9:] + _HEALTH)
        assert (await half.reply()).status == 200
        await edge.line("recycled")
        edge.mark()
        await idle.send(_HEALTH)
        assert (await idle.reply()).status == 200
        await silent.send(_V2 + _HEALTH)
        assert (await silent.reply()).status == 200
        for line in await edge.wait_lines(2, "exchange", path="/health"):
            assert (line["client"], line["via"], line["proxy_id"]) == ("192.0.2.7", _BALANCER, "an-id")


async def test_many_headers_in_drips_keep_no_call_waiting(edge: Edge, behind: tuple[str, int], echo: Place) -> None:
    path = f"/ws/{echo.name}/x"
    async with trio.open_nursery() as nursery:

        async def drip() -> None:
            async with introduced(behind) as wire:
                for byte in _V2:
                    await wire.send(bytes([byte]))
                    await trio.sleep(0.01)
                await wire.send(_HEALTH)
                assert (await wire.reply()).status == 200

        for _ in range(100):
            nursery.start_soon(drip)
        async with introduced(behind, _V1 + handshake(path)) as wire:
            assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
            for _ in range(50):
                await wire.send(b"frame")
                assert await wire.exactly(5) == b"frame"


async def test_a_changed_list_of_networks_waits_for_an_upgrade(
    edge: Edge, behind: tuple[str, int], echo: Place
) -> None:
    was, path = edge.path.read_text(), f"/ws/{echo.name}/x"
    async with introduced(behind, _V2 + handshake(path)) as call:
        assert (await call.head()).startswith(b"HTTP/1.1 101 ")
        try:
            told = await edge.reload(was.replace(f'["{_BALANCER}"]', '["127.0.0.0/8"]'))
            assert told["event"] == "reload"
            assert [line["key"] for line in edge.find("reload_needs_restart")] == ["server.listen"]
            before = set(worker_pids(edge.pid).values())
            edge.signal(signal.SIGUSR1)
            await edge.line("recycled")
            assert not before & set(worker_pids(edge.pid).values())
            async with introduced(behind, _HEALTH, source="127.0.0.51") as wire:
                assert (await wire.reply()).status == 200, "new workers go by what the sockets were bound with"
            edge.signal(signal.SIGUSR2)
            await edge.line("upgraded")
            async with introduced(behind, _V1 + _HEALTH, source="127.0.0.51") as wire:
                assert (await wire.reply()).status == 200
            edge.mark()
            async with introduced(behind, _HEALTH, source="127.0.0.51") as wire:
                assert await wire.end() in ("eof", "reset")
            await edge.line("connection_refused", reason="proxy_protocol_missing", client="127.0.0.51")
            await call.send(b"hello")
            assert await call.exactly(5) == b"hello"
        finally:
            edge.write(was)
            edge.signal(signal.SIGUSR2)
            await edge.line("upgraded")
    line = await edge.line("tunnel_close", path=path)
    assert (line["client"], line["via"]) == ("192.0.2.7", _BALANCER)
