"""PROXY headers between an edge and real load balancers: what they send is read, and what the edge sends they read."""

from __future__ import annotations

import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from tests.e2e.balancers import STREAM_MODULE, haproxy, needs_haproxy, needs_nginx, nginx
from tests.kit.calls import handshake
from tests.kit.edge import Edge, running
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site, free_port
from tests.kit.wire import TIMEOUT, Wire, dial, request
from tests.kit.workers import kill_and_see, worker_pids

pytestmark = pytest.mark.slow

_PORT = free_port()  # where headers are due
_BEHIND = {"v1": ("127.0.0.61", free_port()), "v2": ("127.0.0.62", free_port())}  # balancers behind the edge
_ROUTES = "".join(
    f"""
[upstreams.behind-{version}]
address = "{address}:{port}"
allow = ["127.0.0.0/8"]
proxy_protocol = "{version}"
[[routes]]
name = "behind-{version}"
prefix = "/behind-{version}"
upstream = "behind-{version}"
upgrade = ["websocket"]
"""
    for version, (address, port) in _BEHIND.items()
)


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site(pods=20)
    listen = f'["127.0.0.1:0", {{ address = "127.0.0.3:{_PORT}", proxy_protocol = "required" }}]'
    with running(site.toml(_ROUTES).replace('listen = "127.0.0.1:0"', f"listen = {listen}"), site) as edge:
        yield edge


@pytest.fixture
async def echo(edge: Edge, nursery: trio.Nursery) -> Place:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    return place


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    yield made
    shutil.rmtree(made)


# ---- in front ----

_SENDERS = {
    "send-proxy": {},
    "send-proxy-v2": {},
    "send-proxy-v2 proxy-v2-options unique-id,crc32c": {"proxy_id"},
    "send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,ssl-cipher,authority,unique-id,crc32c": {
        "proxy_id", "tls_version", "tls_cipher", "tls_sni", "tls_client"
    },
}  # fmt: skip


@needs_haproxy
@pytest.mark.parametrize("options", _SENDERS)
async def test_haproxy_in_front(edge: Edge, directory: Path, echo: Place, options: str) -> None:
    over_tls = "-ssl" in options
    place = "127.0.0.60", free_port()
    ca = trustme.CA()
    own, callers = directory / "own.pem", directory / "ca.pem"
    ca.issue_cert("edge.test").private_key_and_cert_chain_pem.write_to_path(str(own))
    ca.cert_pem.write_to_path(str(callers))
    bind = f"ssl crt {own} verify optional ca-file {callers}" if over_tls else ""
    text = (
        "frontend in\n  mode tcp\n  unique-id-format %ci-%cp-%Ts\n"
        f"  bind {place[0]}:{place[1]} {bind}\n  default_backend edge\n"
        f"backend edge\n  mode tcp\n  server edge 127.0.0.3:{_PORT} {options} check check-send-proxy inter 200ms\n"
    )
    path = f"/ws/{echo.name}/x"
    with haproxy(directory, text, place):
        async with dial(place, "127.0.0.77") as plain:
            wire = Wire(await _over_tls(plain, ca)) if over_tls else plain  # type: ignore[arg-type]  # as a SocketStream
            await wire.send(handshake(path))
            assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
            await kill_and_see(worker_pids(edge.pid)[1])
            await edge.expected(1, "worker_died")
            await wire.send(b"x" * 5000)
            assert await wire.exactly(5000) == b"x" * 5000
            if over_tls:
                await wire.close()
        line = await edge.line("tunnel_close", path=path)
    assert (line["client"], line["via"][:8], line["adopted"]) == ("127.0.0.77", "127.0.0.", 1)
    assert {field for field in line if field.startswith(("proxy_", "tls_"))} == set(_SENDERS[options])
    if "unique-id" in options:
        assert line["proxy_id"].startswith("127.0.0.77-")
    if over_tls:
        assert (line["tls_version"], line["tls_sni"], line["tls_client"]) == ("TLSv1.3", "edge.test", "caller.test")
    assert edge.find("connection_refused") == [], "its health checks send a header too"


async def _over_tls(wire: Wire, ca: trustme.CA) -> trio.SSLStream[trio.SocketStream]:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    ca.issue_cert("caller.test", common_name="caller.test").configure_cert(context)
    stream = trio.SSLStream(wire.stream, context, server_hostname="edge.test", https_compatible=True)
    with trio.fail_after(TIMEOUT):
        await stream.do_handshake()
    return stream


@needs_nginx
@pytest.mark.skipif(not STREAM_MODULE.exists(), reason="this nginx has no stream module")
async def test_nginx_in_front(edge: Edge, directory: Path, echo: Place) -> None:
    place, path = ("127.0.0.60", free_port()), f"/ws/{echo.name}/x"
    server = f"listen {place[0]}:{place[1]}; proxy_pass 127.0.0.3:{_PORT}; proxy_protocol on;"
    with nginx(directory, f"stream {{ server {{ {server} }} }}\n", place):
        async with dial(place, "127.0.0.77") as wire:
            await wire.send(handshake(path))
            assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
            await wire.send(b"hello")
            assert await wire.exactly(5) == b"hello"
        line = await edge.line("tunnel_close", path=path)
    assert (line["client"], line["via"][:8]) == ("127.0.0.77", "127.0.0.")


# ---- behind ----


@asynccontextmanager
async def _client(edge: Edge) -> AsyncIterator[tuple[Wire, str]]:
    """A client of the edge, and its address and port."""
    async with dial(edge.address, "127.0.0.77") as wire:
        host, port = wire.stream.socket.getsockname()
        yield wire, f"{host} {port}"


@needs_haproxy
@pytest.mark.parametrize("version", _BEHIND)
async def test_haproxy_behind(edge: Edge, directory: Path, version: str) -> None:
    place = _BEHIND[version]
    told = '"%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_unique_id]"'
    text = (
        f"frontend in\n  mode http\n  bind {place[0]}:{place[1]} accept-proxy\n"
        f"  http-request return status 200 content-type text/plain lf-string {told}\n"
    )
    with haproxy(directory, text, place):
        async with _client(edge) as (wire, client):
            for _ in range(2):
                await wire.send(request("GET", f"/behind-{version}/x"))
                answer = await wire.reply()
                line = (await edge.wait_lines(1, "exchange", route=f"behind-{version}"))[-1]
                edge.mark()
                host, port = edge.address
                sent = line["id"] if version == "v2" else "-"
                assert answer.body.decode().strip() in (f"{client} {host} {port} {sent}", f"{client} {host} {port}")


@needs_nginx
@pytest.mark.parametrize("version", _BEHIND)
async def test_nginx_behind(edge: Edge, directory: Path, version: str) -> None:
    place = _BEHIND[version]
    told = "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port"
    server = f'listen {place[0]}:{place[1]} proxy_protocol; location / {{ return 200 "{told}"; }}'
    with nginx(directory, f"http {{ server {{ {server} }} }}\n", place):
        async with _client(edge) as (wire, client):
            await wire.send(request("GET", f"/behind-{version}/x"))
            answer = await wire.reply()
    host, port = edge.address
    assert answer.body.decode() == f"{client} {host} {port}"


@needs_haproxy
async def test_a_call_through_haproxy_behind_outlives_its_worker(
    edge: Edge, directory: Path, nursery: trio.Nursery
) -> None:
    address, port = _BEHIND["v2"]
    pod = "127.0.0.63", free_port()
    await tunnel_pod(nursery, *pod)
    text = (
        f"frontend in\n  mode tcp\n  bind {address}:{port} accept-proxy\n  default_backend pod\n"
        f"backend pod\n  mode tcp\n  server pod {pod[0]}:{pod[1]}\n"
    )
    with haproxy(directory, text, (address, port)):
        async with dial(edge.address) as wire:
            await wire.send(handshake("/behind-v2/x"))
            assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
            await wire.send(b"x" * 1000)
            assert await wire.exactly(1000) == b"x" * 1000
            await kill_and_see(worker_pids(edge.pid)[1])
            await edge.expected(1, "worker_died")
            await wire.send(b"y" * 1000)
            assert await wire.exactly(1000) == b"y" * 1000
        line = await edge.line("tunnel_close", path="/behind-v2/x")
    assert (line["bytes_to_pod"], line["bytes_to_client"], line["adopted"]) == (2000, 2000, 1), "without the header"
