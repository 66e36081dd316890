"""TLS with others: OpenSSL's client, curl, tlslite's odd habits, sslyze's questions, and an Envoy on either side."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from tests.kit import fleet
from tests.kit.calls import handshake
from tests.kit.edge import Edge, running
from tests.kit.envoy import ENVOY, NO_ENVOY, TYPE, answering, cluster, envoy
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site, free_port
from tests.kit.tls import NAME, Certificates, tls_text
from tests.kit.wire import TIMEOUT, dial

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of asyncore
    from tlslite.constants import KeyUpdateMessageType  # type: ignore[import-untyped]
    from tlslite.tlsconnection import TLSConnection  # type: ignore[import-untyped]

pytestmark = pytest.mark.slow
_AEAD = [("AES_128_GCM", "SHA256"), ("AES_256_GCM", "SHA384"), ("CHACHA20_POLY1305", "SHA256")]
_HOLES = {  # sslyze's names of what must not be there
    "heartbleed": "is_vulnerable_to_heartbleed",
    "openssl_ccs_injection": "is_vulnerable_to_ccs_injection",
    "robot": "robot_result",
    "session_renegotiation": "is_vulnerable_to_client_renegotiation_dos",
    "tls_compression": "supports_compression",
    "tls_1_3_early_data": "supports_early_data",
}
_OPENSSL, _CURL = shutil.which("openssl"), shutil.which("curl")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    certificates.folder("ecdsa", NAME)
    certificates.folder("rsa", NAME, key_type=trustme.KeyType.RSA)
    certificates.folder("client", "caller.test")
    return certificates


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


@pytest.fixture(scope="module")
def edge(certificates: Certificates, site: Site) -> Iterator[Edge]:
    folders = [certificates.directory / name for name in ("ecdsa", "rsa")]
    lines = f'client_certificate = "request"\nclient_ca = "{certificates.ca}"'
    with running(tls_text(site.toml(), folders, lines), site) as edge:
        yield edge


@pytest.fixture(scope="module")
def asks_nothing(certificates: Certificates, site: Site) -> Iterator[Edge]:
    """It wants no certificate: without one, tlslite answers such a request wrongly."""
    with running(tls_text(site.toml(), [certificates.directory / "rsa"]), site) as edge:
        yield edge


async def run(*command: str | Path | None, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    with trio.fail_after(6 * TIMEOUT):
        return await trio.run_process(
            [str(part) for part in command], stdin=data, capture_stdout=True, capture_stderr=True, check=False
        )


# ---- openssl s_client, curl ----


@pytest.mark.parametrize(
    "more",
    [["-tls1_2"], ["-tls1_3"], ["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"], ["-tls1_3", "-groups", "P-384"]],
)
@pytest.mark.parametrize("own", [False, True])
async def test_openssl(edge: Edge, certificates: Certificates, more: list[str], own: bool) -> None:
    client = certificates.directory / "client"
    shown: list[str | Path] = ["-cert", client / "tls.crt", "-key", client / "tls.key"] if own else []
    host, port = edge.address
    result = await run(
        _OPENSSL,
        "s_client",
        "-connect",
        f"{host}:{port}",
        "-servername",
        NAME,
        "-CAfile",
        certificates.ca,
        "-verify_return_error",
        "-alpn",
        "h2,http/1.1",
        "-quiet",
        "-ign_eof",
        *more,
        *shown,
        data=f"GET /healthz HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode(),
    )
    assert result.stdout.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_resumes(edge: Edge, certificates: Certificates, tmp_path: Path, version: str) -> None:
    host, port = edge.address
    command = [
        _OPENSSL,
        "s_client",
        "-connect",
        f"{host}:{port}",
        "-servername",
        NAME,
        "-CAfile",
        certificates.ca,
        "-ign_eof",
        version,
    ]
    data = f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()
    first = await run(*command, "-sess_out", tmp_path / "session", data=data)
    assert b"New, TLSv1" in first.stdout
    second = await run(*command, "-sess_in", tmp_path / "session", data=data)
    assert b"Reused, TLSv1" in second.stdout


@pytest.mark.parametrize("more", [["--tls-max", "1.2"], ["--tlsv1.3"], ["--http2"]])
async def test_curl(edge: Edge, certificates: Certificates, more: list[str]) -> None:
    host, port = edge.address
    result = await run(
        _CURL,
        "-sS",
        "-v",
        "--cacert",
        certificates.ca,
        "--resolve",
        f"{NAME}:{port}:{host}",
        *more,
        f"https://{NAME}:{port}/nothing",
    )
    assert b"HTTP/1.1 404" in result.stderr


# ---- tlslite: what OpenSSL's clients don't do ----


class Odd(socket.socket):
    """It sends one byte in a segment."""

    def sendall(self, data: bytes) -> None:  # type: ignore[override]
        for byte in data:
            super().send(bytes([byte]))

    def send(self, data: bytes) -> int:  # type: ignore[override]
        return super().send(data[:1])


def odd(edge: Edge, place: Place, use: Callable[[Any], Any], *, kind: type[socket.socket] = socket.socket) -> Any:
    """Use a tunnel with tlslite's client."""
    with kind(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(edge.address)
        tls = TLSConnection(sock)
        tls.handshakeClientCert(serverName=NAME)
        tls.write(handshake(f"/ws1/{place.name}/x", host=NAME))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += tls.read(max=1, min=1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        return use(tls)


@pytest.fixture
async def place(site: Site, nursery: trio.Nursery) -> Place:
    place = site.take()
    await tunnel_pod(nursery, place.address, site.port)
    return place


def echoes(tls: Any, data: bytes) -> None:
    tls.write(data)
    assert bytes(tls.read(max=len(data), min=len(data))) == data


async def test_one_byte_in_a_segment(asks_nothing: Edge, place: Place) -> None:
    await trio.to_thread.run_sync(lambda: odd(asks_nothing, place, lambda tls: echoes(tls, b"abc" * 99), kind=Odd))


async def test_one_byte_in_a_record(asks_nothing: Edge, place: Place) -> None:
    def use(tls: Any) -> None:
        tls.recordSize = 1
        echoes(tls, b"abc" * 99)

    await trio.to_thread.run_sync(lambda: odd(asks_nothing, place, use))


@pytest.mark.parametrize("wanted", [KeyUpdateMessageType.update_requested, KeyUpdateMessageType.update_not_requested])
async def test_keys_are_renewed_in_a_call(asks_nothing: Edge, place: Place, wanted: int) -> None:
    def use(tls: Any) -> None:
        for number in range(50):
            for _ in tls.send_keyupdate_request(wanted):
                pass
            echoes(tls, b"%d " % number * 99)

    await trio.to_thread.run_sync(lambda: odd(asks_nothing, place, use))


async def test_an_alert_in_a_call(asks_nothing: Edge, place: Place) -> None:
    def use(tls: Any) -> None:
        echoes(tls, b"x")
        for _ in tls._sendError(80, "an internal error"):
            pass

    with pytest.raises(Exception, match="internal"):
        await trio.to_thread.run_sync(lambda: odd(asks_nothing, place, use))
    close = await asks_nothing.line("tunnel_close", path=f"/ws1/{place.name}/x")
    assert (close["closed_by"], close["reason"]) == ("client", "tls_error")


# ---- sslyze ----


async def test_what_sslyze_finds(edge: Edge, certificates: Certificates, tmp_path: Path) -> None:
    """Mozilla's intermediate configuration, but for what the authority of a test is; and none of the known holes."""
    report, (host, port) = tmp_path / "report.json", edge.address
    scans = [
        "--sslv2",
        "--sslv3",
        "--tlsv1",
        "--tlsv1_1",
        "--tlsv1_2",
        "--tlsv1_3",
        "--compression",
        "--heartbleed",
        "--robot",
        "--reneg",
        "--openssl_ccs",
        "--early_data",
        "--resum",
        "--ems",
        "--elliptic_curves",
    ]
    await run(
        sys.executable,
        "-m",
        "sslyze",
        *scans,
        "--mozilla_config=disable",
        "--sni",
        NAME,
        f"--json_out={report}",
        f"{host}:{port}",
    )
    scanned = json.loads(report.read_text())["server_scan_results"][0]["scan_result"]
    accepted = {
        version: {
            suite["cipher_suite"]["name"]
            for suite in scanned[f"{version}_cipher_suites"]["result"]["accepted_cipher_suites"]
        }
        for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3")
    }
    assert not any(accepted[version] for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"))
    assert len(accepted["tls_1_3"]) == 3
    kinds = [f"{cipher}_{digest}" for cipher, digest in _AEAD]
    assert accepted["tls_1_2"] == {f"TLS_ECDHE_{key}_WITH_{kind}" for key in ("RSA", "ECDSA") for kind in kinds}
    found = {name: scanned[name]["result"] for name in _HOLES}
    assert {name: found[name][field] for name, field in _HOLES.items()} == dict.fromkeys(_HOLES, False) | {
        "robot": "NOT_VULNERABLE_RSA_NOT_SUPPORTED"
    }


# ---- Envoy ----


def secured(kind: str, certificates: Certificates, own: str, *names: str, **more: Any) -> dict[str, Any]:
    """A transport socket with mutual TLS; with `names`, the peer must have one of them."""
    folder = certificates.directory / own
    validation: dict[str, Any] = {"trusted_ca": {"filename": str(certificates.ca)}}
    if names:
        validation["match_typed_subject_alt_names"] = [
            {"san_type": "DNS", "matcher": {"exact": name}} for name in names
        ]
    own_files = {
        "certificate_chain": {"filename": f"{folder}/tls.crt"},
        "private_key": {"filename": f"{folder}/tls.key"},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPE}.extensions.transport_sockets.tls.v3.{kind}",
            "common_tls_context": {"tls_certificates": [own_files], "validation_context": validation},
            **more,
        },
    }


def listener(name: str, address: str, port: int, to: str, **more: Any) -> dict[str, Any]:
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": to}}]
    manager = {
        "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "HTTP1",
        "forward_client_cert_details": "ALWAYS_FORWARD_ONLY",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": filters, **more}],
    }


@pytest.mark.skipif(ENVOY is None, reason=NO_ENVOY)
async def test_an_envoy_on_either_side_with_mutual_tls(certificates: Certificates, nursery: trio.Nursery) -> None:
    site = Site()
    place, further, front = site.take(), free_port(), ("127.0.0.1", free_port())
    pod = await tunnel_pod(nursery, "127.0.0.1", further)
    certificates.folder("pod", f"{place.name}.pods.test")
    routes = f"""
[upstreams.envoy]
address = "{{pod}}.pods.test:{site.port}"
allow = ["127.0.0.0/8"]
tls = {{ ca = "{certificates.ca}", certificate = "{certificates.directory / "client"}" }}
[[routes]]
name = "envoy"
regex = '^/envoy/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
client_names = ["caller.test"]
upstream = "envoy"
"""
    lines = f'client_certificate = "require"\nclient_ca = "{certificates.ca}"\nforward_certificate = "summary"'
    text = tls_text(site.toml(routes), [certificates.directory / "ecdsa"], lines)
    with running(text, site) as edge:
        downstream = secured(
            "DownstreamTlsContext", certificates, "pod", "caller.test", require_client_certificate=True
        )
        upstream = secured("UpstreamTlsContext", certificates, "client", NAME, sni=NAME)
        listeners = [
            listener("front", *front, "edge"),
            listener("back", place.address, site.port, "pod", transport_socket=downstream),
        ]
        clusters = [
            {**cluster("edge", *edge.address), "transport_socket": upstream},
            cluster("pod", "127.0.0.1", further),
        ]
        with envoy(listeners, clusters):
            await answering(front)
            async with dial(front) as client:
                await client.send(handshake(f"/envoy/{place.name}/x", host=NAME))
                head = await client.head()
                assert head.startswith(b"HTTP/1.1 101 "), head
                await fleet.echoes(client, b"x" * 100_000)
                await fleet.kill_worker(edge)
                await fleet.echoes(client, b"y" * 100_000)
            [close] = await edge.wait_lines(1, "tunnel_close")
            assert close["bytes_to_pod"] == close["bytes_to_client"] == 200_000
    assert b"DNS=caller.test" in pod.seen[0].values("x-forwarded-client-cert")[0]
