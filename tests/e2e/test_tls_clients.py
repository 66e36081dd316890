"""What TLS clients do wrong, which certificate they get, and the certificates that they show."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trustme
from cryptography import x509

from tests.kit.edge import Edge, running
from tests.kit.pods import http_pod
from tests.kit.site import Site, free_port
from tests.kit.tls import NAME, Certificates, ask_tls, dial_tls, tls_site
from tests.kit.wire import ask, dial, request

_SPIFFE = "spiffe://partner.example/ns/voice/sa/caller"
_ROUTES = f"""
[[routes]]
name = "spiffe"
path = "/spiffe"
client_names = ["{_SPIFFE}"]
respond = {{ status = 200, body = "by name\\n" }}
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    certificates.folder("ecdsa", NAME, "*.wild.test", "second.test")
    certificates.folder("rsa", NAME, key_type=trustme.KeyType.RSA)
    certificates.secret("secret", "secret.test")
    certificates.folder("client", "caller.partner.example", "other.test")
    certificates.by_uri("spiffe", _SPIFFE)
    (certificates.directory / "strangers").mkdir()
    Certificates(certificates.directory / "strangers").folder("client", "caller.partner.example")
    return certificates


def folders(certificates: Certificates, *names: str) -> list[Path]:
    return [certificates.directory / name for name in names]


@pytest.fixture(scope="module")
def admin() -> int:
    return free_port()


@pytest.fixture(scope="module")
def edge(certificates: Certificates, admin: int) -> Iterator[Edge]:
    """It asks for a client's certificate, and takes a client without one."""
    site = Site()
    lines = f'client_certificate = "request"\nclient_ca = "{certificates.ca}"\nforward_certificate = "summary"'
    text = tls_site(site, folders(certificates, "ecdsa", "rsa", "secret"), lines, routes=_ROUTES)
    text = text.replace('admin = "off"', f'admin = "127.0.0.1:{admin}"').replace(
        "[deadlines]", '[deadlines]\ntls = "1s"'
    )
    with running(text, site) as edge:
        yield edge


@pytest.fixture(scope="module")
def client(certificates: Certificates) -> ssl.SSLContext:
    return certificates.client()


async def failed(edge: Edge, reason: str) -> None:
    await edge.line("tls_failed", reason=reason, profile="edge")


async def subject(edge: Edge, context: ssl.SSLContext, name: str | None) -> list[str]:
    async with dial_tls(edge.address, context, name) as wire:
        der = wire.tls.getpeercert(binary_form=True)
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return names.value.get_values_for_type(x509.DNSName)


# ---- which certificate ----


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (NAME, "second.test"),
        ("EDGE.test", "second.test"),
        ("a.wild.test", "*.wild.test"),
        ("secret.test", "secret.test"),
    ],
)
async def test_the_name_decides(edge: Edge, client: ssl.SSLContext, name: str, wanted: str) -> None:
    assert wanted in await subject(edge, client, name)


@pytest.mark.parametrize("ciphers", ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"])
async def test_of_one_name_the_kind_of_key_decides(edge: Edge, certificates: Certificates, ciphers: str) -> None:
    context = certificates.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    async with dial_tls(edge.address, context) as wire:
        cipher = wire.tls.cipher()
    assert cipher is not None
    assert cipher[0] == ciphers


@pytest.mark.parametrize("name", ["unknown.test", "a.b.wild.test", "wild.test", None])
async def test_an_unknown_name_is_refused(edge: Edge, certificates: Certificates, name: str | None) -> None:
    context = certificates.client()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(trio.BrokenResourceError) as refused:
        async with dial_tls(edge.address, context, name):
            pass
    assert "UNRECOGNIZED_NAME" in str(refused.value.__cause__)
    await failed(edge, "tls_unknown_name")


# ---- what is no handshake ----


async def test_plain_http(edge: Edge) -> None:
    answer = await ask(edge.address, "GET", "/health")
    assert (answer.status, answer.body) == (400, b"TLS is spoken here\n")
    await failed(edge, "tls_not_tls")


async def test_silence_and_drips(edge: Edge) -> None:
    async with dial(edge.address) as silent, dial(edge.address) as dripping:
        await dripping.send(b"\x16\x03\x01")
        assert await silent.end() == await dripping.end() == "eof"
    await edge.wait_lines(2, "tls_failed", reason="tls_deadline")


async def test_closed_without_a_byte_is_no_fault(edge: Edge, client: ssl.SSLContext) -> None:
    async with dial(edge.address):
        pass
    await ask_tls(edge, client, "/health")
    assert not edge.find("tls_failed")


async def test_garbage(edge: Edge) -> None:
    async with dial(edge.address) as wire:
        await wire.send(b"\x00" * 100)
        await wire.end()
    await failed(edge, "tls_not_tls")


async def test_an_old_version(edge: Edge, certificates: Certificates) -> None:
    context = certificates.client()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(trio.BrokenResourceError):
        async with dial_tls(edge.address, context):
            pass
    await failed(edge, "tls_version")


async def test_no_common_cipher(edge: Edge, certificates: Certificates) -> None:
    context = certificates.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA")
    with pytest.raises(trio.BrokenResourceError):
        async with dial_tls(edge.address, context):
            pass
    await failed(edge, "tls_cipher")


async def test_a_client_that_does_not_trust_us(edge: Edge) -> None:
    def shake() -> None:
        with socket.create_connection(edge.address) as raw, pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(raw, server_hostname=NAME)

    await trio.to_thread.run_sync(shake)
    await failed(edge, "tls_alert")


# ---- clients' certificates ----


async def test_a_certificate_is_forwarded(edge: Edge, certificates: Certificates, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    context = certificates.client(certificates.directory / "client")
    await ask_tls(edge, context, f"/http/{place.name}/x", "X-Forwarded-Client-Cert: Hash=forged")
    [value] = pod.seen[0].values("X-Forwarded-Client-Cert")
    told = dict(part.split(b"=", 1) for part in value.split(b";"))
    assert len(told[b"Hash"]) == 64
    assert told[b"Subject"].startswith(b'"')
    assert value.endswith(b"DNS=caller.partner.example;DNS=other.test")
    assert (await edge.line("exchange", path=f"/http/{place.name}/x"))["tls_client"] == "caller.partner.example"


async def test_without_one_nothing_is_forwarded(edge: Edge, client: ssl.SSLContext, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    await ask_tls(edge, client, f"/http/{place.name}/x", "X-Forwarded-Client-Cert: Hash=forged")
    assert not pod.seen[0].values("X-Forwarded-Client-Cert")


async def test_a_route_for_some_names(edge: Edge, certificates: Certificates, client: ssl.SSLContext) -> None:
    by_name = certificates.client(certificates.directory / "spiffe")
    assert (await ask_tls(edge, by_name, "/spiffe")).body == b"by name\n"
    other = certificates.client(certificates.directory / "client")
    assert (await ask_tls(edge, other, "/spiffe")).status == 403
    assert (await ask_tls(edge, client, "/spiffe")).status == 403
    assert len(await edge.wait_lines(2, "exchange", reason="certificate_not_allowed")) == 2


async def test_one_of_strangers_is_refused(edge: Edge, certificates: Certificates) -> None:
    context = certificates.client(certificates.directory / "strangers/client")
    with pytest.raises(trio.BrokenResourceError):
        await ask_tls(edge, context, "/health")
    await failed(edge, "tls_bad_certificate")


async def test_required_ones(certificates: Certificates, client: ssl.SSLContext) -> None:
    """None, a stranger's, one with a wrong name, and a right one; with TLS 1.2, too."""
    site = Site()
    lines = (
        'client_certificate = "require"',
        f'client_ca = "{certificates.ca}"',
        'client_names = ["*.partner.example"]',
        'min_version = "1.2"',
    )
    with running(tls_site(site, folders(certificates, "ecdsa"), *lines), site) as edge:
        for latest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            edge.mark()
            for folder, reason in (
                (None, "tls_no_certificate"),
                ("strangers/client", "tls_bad_certificate"),
                ("spiffe", "tls_name"),
            ):
                context = certificates.client(None if folder is None else certificates.directory / folder)
                context.maximum_version = latest
                with pytest.raises((trio.BrokenResourceError, Exception)):
                    await ask_tls(edge, context, "/health")
                await failed(edge, reason)
            context = certificates.client(certificates.directory / "client")
            context.maximum_version = latest
            assert (await ask_tls(edge, context, "/health")).body == b"healthy\n"


# ---- files that change ----


async def test_a_renewed_secret_is_served(edge: Edge, certificates: Certificates, client: ssl.SSLContext) -> None:
    folder = certificates.directory / "secret"
    async with dial_tls(edge.address, client, "secret.test") as before:
        certificates.renew(folder, "secret.test", "new.test")
        await edge.line("certificate_loaded", path=str(folder), names=["secret.test", "new.test"])
        assert "new.test" in await subject(edge, client, "new.test")
        await before.send(request("GET", "/health", host="secret.test"))
        assert (await before.reply()).body == b"healthy\n"


async def test_a_broken_file_changes_nothing(edge: Edge, certificates: Certificates, admin: int) -> None:
    """The old certificate stays, until the file is right again."""
    folder = certificates.directory / "ecdsa"
    client = certificates.client()
    kept = (folder / "tls.key").read_bytes()
    shutil.copy(certificates.directory / "client/tls.key", folder / "tls.key")
    line = await edge.line("certificate_not_used", profile="edge")
    assert str(folder) in line["fault"]
    assert "does not belong" in line["fault"]
    assert "second.test" in await subject(edge, client, "second.test")
    told = json.loads((await ask(("127.0.0.1", admin), "GET", "/certificates", host=f"127.0.0.1:{admin}")).body)
    assert {one["current"] for one in told["certificates"]} == {False}
    edge.mark()
    (folder / "tls.key").write_bytes(kept)
    await edge.line("certificate_loaded", path=str(folder))


async def test_a_reload_with_a_broken_file_is_refused(edge: Edge, certificates: Certificates) -> None:
    client, text = certificates.client(), edge.path.read_text()
    missing = certificates.directory / "nowhere"
    line = await edge.reload(text.replace(f'"{certificates.directory / "rsa"}"', f'"{missing}"'))
    assert line["event"] == "reload_failed"
    [fault] = edge.find("reload_fault")
    assert str(missing) in fault["fault"]
    assert "No such file" in fault["fault"]
    assert (await ask_tls(edge, client, "/health")).body == b"healthy\n"
    assert (await edge.reload(text))["event"] == "reload"


async def test_a_reload_puts_another_certificate_in_force(edge: Edge, certificates: Certificates) -> None:
    client, text = certificates.client(), edge.path.read_text()
    folder = certificates.folder("added", "added.test")
    added = text.replace("certificates = [", f'certificates = ["{folder}", ')
    assert (await edge.reload(added))["event"] == "reload"
    assert "added.test" in await subject(edge, client, "added.test")
    assert (await edge.reload(text))["event"] == "reload"


async def test_the_start_needs_sound_files(certificates: Certificates) -> None:
    site = Site()
    edge = running(tls_site(site, [certificates.directory / "nowhere"]), site)
    with pytest.raises(AssertionError, match=r"\[tls.edge\] .*nowhere: No such file"), edge:
        pass


async def test_sessions_are_resumed(edge: Edge, certificates: Certificates) -> None:
    context = certificates.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def shake(session: ssl.SSLSession | None) -> ssl.SSLSession:
        raw = socket.create_connection(edge.address)
        with context.wrap_socket(raw, server_hostname=NAME, session=session) as tls:
            assert tls.session_reused is (session is not None)
            assert tls.session is not None
            return tls.session

    await trio.to_thread.run_sync(lambda: shake(shake(None)))
