"""TLS connections that go to pods as they are, through whole edges and with real servers behind them."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from splicer.proxyproto import v2
from splicer.proxyproto.decode import decode
from splicer.proxyproto.facts import arrival
from tests.e2e.balancers import needs_nginx, nginx
from tests.kit.calls import handshake
from tests.kit.edge import Edge, running
from tests.kit.fleet import several
from tests.kit.hellos import real_hello
from tests.kit.pods import ok, raw_pod, tunnel_pod
from tests.kit.site import Site, free_port
from tests.kit.tls import NAME, Certificates, dial_tls
from tests.kit.wire import TIMEOUT, Wire, dial, request, until
from tests.kit.workers import kill_and_see, worker_pids

pytestmark = pytest.mark.slow

_H2, _ECHO, _INTRODUCED = (("127.0.0.70", free_port()), ("127.0.0.71", free_port()), ("127.0.0.72", free_port()))
_PLACE, _BALANCED, _SHARED = ("127.0.0.4", free_port()), ("127.0.0.5", free_port()), ("127.0.0.6", free_port())
_OURS = "127.0.0.7", free_port()
_TABLES = f"""
[[passthrough]]
names = ["h2.example"]
upstream = "h2"
[[passthrough]]
names = ["*.rtc.example"]
upstream = "rtc"
[[passthrough]]
names = ["introduced.example"]
upstream = "introduced"
[[passthrough]]
names = ["dead.example"]
upstream = "dead"
[upstreams.h2]
address = "{_H2[0]}:{_H2[1]}"
[upstreams.rtc]
address = "{{label}}.rtc.test:{_ECHO[1]}"
allow = ["127.0.0.0/8"]
[upstreams.introduced]
address = "{_INTRODUCED[0]}:{_INTRODUCED[1]}"
proxy_protocol = "v2"
[[routes]]
name = "introduced"
prefix = "/introduced"
upstream = "introduced"
[upstreams.dead]
address = "127.0.0.73:{free_port()}"
"""


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def certificates(directory: Path) -> Certificates:
    return Certificates(directory)


@pytest.fixture(scope="module")
def ca(certificates: Certificates, directory: Path) -> trustme.CA:
    certificates.authority.issue_cert("h2.example").private_key_and_cert_chain_pem.write_to_path(
        str(directory / "h2.pem")
    )
    return certificates.authority


@pytest.fixture(scope="module")
def edge(certificates: Certificates) -> Iterator[Edge]:
    site = Site(pods=2)
    listen = ", ".join(
        (
            '"127.0.0.1:0"',
            f'{{ address = "{_PLACE[0]}:{_PLACE[1]}", passthrough = true }}',
            f'{{ address = "{_BALANCED[0]}:{_BALANCED[1]}", passthrough = true, proxy_protocol = "required" }}',
            f'{{ address = "{_SHARED[0]}:{_SHARED[1]}", passthrough = true, tls = "edge" }}',
            f'{{ address = "{_OURS[0]}:{_OURS[1]}", tls = "edge", proxy_protocol = "required" }}',
        )
    )
    text = several(site, 2, deadlines='tls = "3s"').replace('listen = "127.0.0.1:0"', f"listen = [{listen}]")
    text = text.replace("[resolver.hosts]\n", f'[resolver.hosts]\n"agent-1.rtc.test" = "{_ECHO[0]}"\n')
    text += f'[tls.edge]\ncertificates = ["{certificates.folder("edge", NAME)}"]\n'
    with running(text + _TABLES, site) as edge:
        yield edge


async def _tls_echo(ca: trustme.CA, wire: Wire) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("*.rtc.example", "introduced.example").configure_cert(context)
    async with trio.SSLStream(_Rest(wire), context, server_side=True, https_compatible=True) as stream:
        while data := await stream.receive_some(65536):
            await stream.send_all(data)


class _Rest(trio.abc.Stream):
    """A wire from which something was read already."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._wire.buffer:
            return await self._wire.some()
        return bytes(await self._wire.stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._wire.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._wire.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._wire.close()


@asynccontextmanager
async def _client(
    ca: trustme.CA, name: str, place: tuple[str, int] = _PLACE, first: bytes = b""
) -> AsyncIterator[Wire]:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    async with dial(place) as wire:
        if first:
            await wire.send(first)
        stream = trio.SSLStream(wire.stream, context, server_hostname=name, https_compatible=True)
        with trio.fail_after(TIMEOUT):
            await stream.do_handshake()
        yield Wire(stream)  # type: ignore[arg-type]  # as a SocketStream


@needs_nginx
async def test_http2_by_name(edge: Edge, ca: trustme.CA, directory: Path) -> None:
    pem = directory / "h2.pem"
    server = (
        f"listen {_H2[0]}:{_H2[1]} ssl http2; ssl_certificate {pem}; ssl_certificate_key {pem}; "
        'location / { return 200 "$server_protocol $remote_addr"; }'
    )
    command = ["curl", "-sS", "--max-time", "20", "--http2", "--cacert", str(directory / "ca.pem")]
    command += ["--connect-to", f"h2.example:443:{_PLACE[0]}:{_PLACE[1]}", "https://h2.example/"]
    with nginx(directory, f"http {{ server {{ {server} }} }}\n", _H2):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert (done.stdout.split()[:1], done.stderr) == ([b"HTTP/2.0"], b"")
    opened = await edge.line("passthrough_open", host="h2.example")
    closed = await edge.line("passthrough_close", id=opened["id"])
    assert (opened["route"], opened["upstream"], opened["status"], opened["protocol"]) == (
        "h2.example",
        "h2",
        None,
        "tls",
    )
    assert closed["bytes_to_pod"] > 300
    assert closed["closed_by"] in ("client", "pod")
    assert edge.find("tunnel_open") == edge.find("exchange") == []


async def test_a_connection_outlives_its_worker_and_is_counted_right(
    edge: Edge, ca: trustme.CA, nursery: trio.Nursery
) -> None:
    moved: list[bytes] = []

    async def echo(wire: Wire) -> None:
        await _tls_echo(ca, wire)

    pod = await raw_pod(nursery, *_ECHO, echo)
    async with _client(ca, "agent-1.rtc.example") as wire:
        for round_ in range(3):
            await wire.send(b"x" * 20_000)
            moved.append(await wire.exactly(20_000))
            if round_ < 2:
                pids = worker_pids(edge.pid)
                for pid in pids.values():
                    await kill_and_see(pid)
                await edge.expected(2, "worker_died")
                await until(partial(_replaced, edge, pids))
    pod.stop()
    assert moved == [b"x" * 20_000] * 3
    line = await edge.line("passthrough_close", host="agent-1.rtc.example")
    assert (line["route"], line["target"]) == ("*.rtc.example", f"agent-1.rtc.test:{_ECHO[1]}")
    assert line["adopted"] >= 2
    assert 60_000 < line["bytes_to_pod"] < 70_000
    assert 60_000 < line["bytes_to_client"] < 70_000


def _replaced(edge: Edge, pids: dict[int, int]) -> bool:
    now = worker_pids(edge.pid)
    return len(now) == len(pids) and not set(now.values()) & set(pids.values())


async def test_a_balancer_in_front_and_a_header_for_the_pod(edge: Edge, ca: trustme.CA, nursery: trio.Nursery) -> None:
    headers: list[bytes] = []

    async def introduced(wire: Wire) -> None:
        head = await wire.exactly(16)
        headers.append(head + await wire.exactly(int.from_bytes(head[14:], "big")))
        await _tls_echo(ca, wire)

    scope = await raw_pod(nursery, *_INTRODUCED, introduced)
    first = v2.encode(("192.0.2.7", 4711), ("203.0.113.1", 443), ((0x05, b"an-id"),))
    async with _client(ca, "introduced.example", _BALANCED, first) as wire:
        await wire.send(b"hello")
        assert await wire.exactly(5) == b"hello"
    scope.stop()
    line = await edge.line("passthrough_close", host="introduced.example")
    assert (line["client"], line["via"], line["proxy_id"]) == ("192.0.2.7", "127.0.0.1", "an-id")
    found = decode(headers[0])
    assert found is not None
    assert (found[0].source, found[0].destination) == (("192.0.2.7", 4711), _BALANCED)
    assert found[0].tlvs == ((0x05, line["id"].encode()),)


@pytest.mark.parametrize(
    ("name", "alert"), [("nobody.example", "UNRECOGNIZED_NAME"), ("dead.example", "INTERNAL_ERROR")]
)
async def test_what_leads_nowhere_is_told_by_an_alert(edge: Edge, ca: trustme.CA, name: str, alert: str) -> None:
    with pytest.raises(trio.BrokenResourceError) as told:
        async with _client(ca, name):
            raise AssertionError("there is nobody to shake hands with")
    assert alert in str(told.value.__cause__)
    if name == "dead.example":
        line = await edge.line("passthrough_close", host=name)
        assert (line["reason"], line["status"], len(line["attempts"])) == ("connect_refused", None, 1)
    else:
        line = await edge.line("connection_refused", reason="tls_unknown_name")
        assert (line["client"], line["detail"]) == ("127.0.0.1", name)


async def test_plain_http_and_silence_are_closed_without_a_word(edge: Edge) -> None:
    for sent, reason in ((request("GET", "/health"), "tls_not_tls"), (b"\x16\x03", "tls_deadline")):
        async with dial(_PLACE) as wire:
            await wire.send(sent)
            assert await wire.end() in ("eof", "reset")
        await edge.line("connection_refused", reason=reason)


async def test_other_names_speak_tls_with_the_edge_where_it_has_certificates(
    edge: Edge, certificates: Certificates, ca: trustme.CA, nursery: trio.Nursery
) -> None:
    async def echo(wire: Wire) -> None:
        await _tls_echo(ca, wire)

    pod = await raw_pod(nursery, *_ECHO, echo)
    async with dial_tls(_SHARED, certificates.client()) as ours, _client(ca, "agent-1.rtc.example", _SHARED) as passed:
        await ours.send(request("GET", "/health"))
        assert (await ours.reply()).status == 200
        await passed.send(b"hello")
        assert await passed.exactly(5) == b"hello"
    line = await edge.line("exchange", path="/health")
    assert (line["tls_sni"], line["client"]) == (NAME, "127.0.0.1")
    await edge.line("passthrough_close", host="agent-1.rtc.example")
    pod.stop()
    async with dial(_SHARED) as plain:
        await plain.send(request("GET", "/health"))
        assert (await plain.head()).startswith(b"HTTP/1.1 400 "), "the tls process has an answer for that"
    async with dial(_SHARED) as half:
        await half.send(b"\x16\x03")
        assert await half.end() in ("eof", "reset")
    await edge.line("connection_refused", reason="tls_deadline")


async def test_a_pod_is_told_of_a_client_over_tls(
    edge: Edge, certificates: Certificates, nursery: trio.Nursery
) -> None:
    headers: list[bytes] = []

    async def pod(wire: Wire) -> None:
        head = await wire.exactly(16)
        headers.append(head + await wire.exactly(int.from_bytes(head[14:], "big")))
        await wire.request()
        await wire.send(ok(b"hello"))

    scope = await raw_pod(nursery, *_INTRODUCED, pod)
    async with dial_tls(_SHARED, certificates.client(), source="127.0.0.77") as wire:
        await wire.send(request("GET", "/introduced/x"))
        assert (await wire.reply()).body == b"hello"
        port = wire.tls.transport_stream.socket.getsockname()[1]
    scope.stop()
    found = decode(headers[0])
    assert found is not None
    assert (found[0].source, found[0].destination) == (("127.0.0.77", port), _SHARED)
    told = arrival(found[0], "")
    assert told is not None
    assert (told.secure, told.fact("tls_sni"), told.fact("tls_version")) == (True, NAME, "TLSv1.3")


async def test_a_header_comes_before_the_edges_own_tls(
    edge: Edge, certificates: Certificates, nursery: trio.Nursery
) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    header, path = v2.encode(("192.0.2.7", 4711), ("203.0.113.1", 443), ((0x05, b"an-id"),)), f"/ws/{place.name}/x"
    async with dial(_OURS) as raw:
        for part in (header[:9], header[9:]):
            await raw.send(part)
            await trio.sleep(0.05)
        stream = trio.SSLStream(raw.stream, certificates.client(), server_hostname=NAME, https_compatible=True)
        with trio.fail_after(TIMEOUT):
            await stream.do_handshake()
        wire = Wire(stream)  # type: ignore[arg-type]  # as a SocketStream
        await wire.send(handshake(path))
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
        pids = worker_pids(edge.pid)
        for pid in pids.values():
            await kill_and_see(pid)
        await edge.expected(2, "worker_died")
        await wire.send(b"hello")
        assert await wire.exactly(5) == b"hello"
    line = await edge.line("tunnel_close", path=path)
    assert (line["client"], line["via"], line["proxy_id"]) == ("192.0.2.7", "127.0.0.1", "an-id")
    assert line["adopted"] >= 1
    assert (line["tls_version"], line["tls_sni"]) == ("TLSv1.3", NAME)
    await until(partial(_replaced, edge, pids))
    async with dial(_OURS) as wire:
        await wire.send(real_hello(NAME))
        assert await wire.end() in ("eof", "reset")
    await edge.line("connection_refused", reason="proxy_protocol_missing")


# The wait for the rest of a hello must not spin: there is a byte to read all the time.
async def test_hellos_in_parts_take_no_processor_time(edge: Edge) -> None:
    async with trio.open_nursery() as nursery:

        async def begin() -> None:
            async with dial(_PLACE) as wire:
                await wire.send(b"\x16\x03\x01\x01\x00\x01")
                await wire.end()

        for _ in range(20):
            nursery.start_soon(begin)
        await trio.sleep(0.5)
        before = sum(edge.cpu_seconds(pid) for pid in edge.workers)
        await trio.sleep(1.5)
        spent = sum(edge.cpu_seconds(pid) for pid in edge.workers) - before
    assert spent < 0.7, "a loop would take all of it"


def test_the_file_is_checked(edge: Edge, tmp_path: Path) -> None:
    file = tmp_path / "routing.toml"
    file.write_text(edge.path.read_text().replace("passthrough = true", "passthrough = false"))
    command = [sys.executable, "-m", "splicer", "check", "-c", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "passthrough: no entry of server.listen has passthrough = true" in done.stdout + done.stderr
