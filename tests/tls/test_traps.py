"""Two ways in which Python's `ssl` fails silently: the naive way is shown to fail, and ours not to."""

from __future__ import annotations

import ssl

import pytest

from splicer.ipc.tls_messages import ServerProfile
from splicer.tls.contexts import ServerContexts
from splicer.tls.probe import Probe, probe_context
from tests.kit.tls import NAME, Certificates
from tests.tls.bios import Side, folder, shake_hands


@pytest.fixture(scope="module")
def lax(certificates: Certificates) -> ssl.SSLContext:
    return context_of(ServerProfile((folder(certificates.folder("edge", NAME)),)))


def context_of(profile: ServerProfile) -> ssl.SSLContext:
    context = ServerContexts(profile).choose(NAME)
    assert context is not None
    return context


def strict(certificates: Certificates) -> ssl.SSLContext:
    files = (folder(certificates.folder("edge", NAME)),)
    profile = ServerProfile(files, client_certificate="require", client_ca=str(certificates.ca), min_version="1.3")
    return context_of(profile)


def old_client(certificates: Certificates) -> ssl.SSLContext:
    """It has no certificate, and speaks TLS 1.2."""
    context = certificates.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def by_a_switch(first: ssl.SSLContext, wanted: ssl.SSLContext) -> Side:
    """The naive way: the context is changed when the name is known."""

    def switch(tls: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        tls.context = wanted

    first.sni_callback = switch
    return Side(first, server=True)


def by_the_probe(data: bytes, wanted: ssl.SSLContext) -> Side:
    """Our way: the real connection begins when the name is known."""
    probe = Probe(probe_context())
    assert probe.feed(data)
    assert probe.sni == NAME
    side = Side(wanted, server=True)
    side.incoming.write(probe.data)
    return side


def test_a_switched_context_checks_neither_certificate_nor_version(
    certificates: Certificates, lax: ssl.SSLContext
) -> None:
    """If this fails, `ssl` has been mended, and the probe could go."""
    client = Side(old_client(certificates), server=False)
    shake_hands(client, by_a_switch(lax, strict(certificates)))
    assert client.tls.version() == "TLSv1.2"


def test_the_probe_lets_nobody_by(certificates: Certificates) -> None:
    for context, fault in (
        (old_client(certificates), "UNSUPPORTED_PROTOCOL"),
        (certificates.client(), "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    ):
        client = Side(context, server=False)
        server = by_the_probe(client.shake(), strict(certificates))
        with pytest.raises(ssl.SSLError) as refused:
            shake_hands(client, server)
        assert refused.value.reason == fault


# ---- unwrap ----


def connected(certificates: Certificates, lax: ssl.SSLContext) -> tuple[Side, Side]:
    client, server = Side(certificates.client(), server=False), Side(lax, server=True)
    lax.sni_callback = None
    shake_hands(client, server)
    return client, server


def test_an_early_unwrap_loses_what_has_come(certificates: Certificates, lax: ssl.SSLContext) -> None:
    client, server = connected(certificates, lax)
    client.tls.write(b"the last words")
    server.incoming.write(client.outgoing.read())
    with pytest.raises(ssl.SSLError, match="APPLICATION_DATA_AFTER_CLOSE_NOTIFY"):
        server.tls.unwrap()
    with pytest.raises(ssl.SSLError):
        server.tls.read(100)


def test_after_an_unwrap_with_nothing_unread_reading_goes_on(certificates: Certificates, lax: ssl.SSLContext) -> None:
    """That is how `tls.ends` half-closes; also in the middle of a record that comes in two parts."""
    client, server = connected(certificates, lax)
    client.tls.write(b"in two parts")
    record = client.outgoing.read()
    server.incoming.write(record[:9])
    with pytest.raises(ssl.SSLWantReadError):
        server.tls.read(100)
    with pytest.raises(ssl.SSLWantReadError):
        server.tls.unwrap()
    client.incoming.write(server.outgoing.read())
    assert client.tls.read(100) == b""
    server.incoming.write(record[9:])
    assert server.tls.read(100) == b"in two parts"
    client.tls.write(b"and more")
    server.incoming.write(client.outgoing.read())
    assert server.tls.read(100) == b"and more"
