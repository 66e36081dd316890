"""OpenSSL connections in memory, without sockets."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from splicer.tls_facts import CertificateFiles
from tests.kit.tls import NAME, Certificates


class Side:
    """One side of a connection."""

    def __init__(self, context: ssl.SSLContext, *, server: bool, name: str | None = NAME) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server, server_hostname=None if server else name
        )
        self.over = False

    def shake(self) -> bytes:
        """One step of the handshake; what the other side gets."""
        try:
            if not self.over:
                self.tls.do_handshake()
                self.over = True
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()


def shake_hands(client: Side, server: Side) -> None:
    """Until both sides are done.

    Raises:
        ssl.SSLError: one side refuses.
    """
    for _ in range(6):
        server.incoming.write(client.shake())
        client.incoming.write(server.shake())
    assert client.over
    assert server.over


def hello(context: ssl.SSLContext, name: str | None = NAME) -> bytes:
    """A ClientHello."""
    return Side(context, server=False, name=name).shake()


def folder(path: Path) -> CertificateFiles:
    return CertificateFiles(folder=str(path))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))
