"""Certificates, and clients that come by TLS."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.kit.calls import handshake
from tests.kit.edge import Edge, session_of
from tests.kit.http import Message
from tests.kit.pods import Pod, switching
from tests.kit.site import Site
from tests.kit.wire import TIMEOUT, EndOfStream, Wire, request

NAME = "edge.test"


class Certificates:
    """An authority, and the folders of certificates that it has signed.

    Args:
        directory: where all files are.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))

    def folder(self, name: str, *names: str, **more: Any) -> Path:
        """A folder with tls.crt and tls.key, as cert-manager writes it."""
        folder = self.directory / name
        folder.mkdir(exist_ok=True)
        self.write(folder, *names, **more)
        return folder

    def write(self, folder: Path, *names: str, **more: Any) -> None:
        """Write another certificate into a folder."""
        certificate = self.authority.issue_cert(*names, **more)
        certificate.private_key_pem.write_to_path(str(folder / "tls.key"))
        (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))

    def by_uri(self, name: str, uri: str, *, days: int = 30, common_name: str = "a workload") -> Path:
        """A folder with a certificate whose only name is a URI; with `days` below 0 it has expired."""
        folder = self.directory / name
        folder.mkdir(exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        issuer = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())
        signer = serialization.load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
            .sign(signer, hashes.SHA256())  # type: ignore[arg-type]  # it is an EC key
        )
        pem = serialization.Encoding.PEM
        (folder / "tls.crt").write_bytes(certificate.public_bytes(pem))
        traditional, unencrypted = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        (folder / "tls.key").write_bytes(key.private_bytes(pem, traditional, unencrypted))
        return folder

    def secret(self, name: str, *names: str) -> Path:
        """A folder as a kubelet mounts a Secret: its files lead to one directory, by `..data`."""
        folder = self.directory / name
        folder.mkdir()
        self.renew(folder, *names)
        for file in ("tls.crt", "tls.key"):
            (folder / file).symlink_to(f"..data/{file}")
        return folder

    def renew(self, folder: Path, *names: str) -> None:
        """Change a Secret, as a kubelet does: by one rename of `..data`."""
        version = folder / f"..{len(list(folder.iterdir()))}_{os.urandom(4).hex()}"
        version.mkdir()
        self.write(version, *names)
        beside = folder / "..data_tmp"
        beside.symlink_to(version.name)
        beside.replace(folder / "..data")

    def client(self, own: Path | None = None) -> ssl.SSLContext:
        """A client's context; `own` is the folder of its certificate."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if own is not None:
            context.load_cert_chain(own / "tls.crt", own / "tls.key")
        return context


class TlsWire(Wire):
    """A connection over TLS."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        super().__init__(stream)  # type: ignore[arg-type]  # it has the methods that are used here
        self.tls = stream

    def reset(self) -> None:
        """Close with an RST."""
        raw = self.tls.transport_stream
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.socket.close()

    async def close(self) -> None:
        """Close with close_notify and a FIN."""
        await self.tls.aclose()


@asynccontextmanager
async def dial_tls(
    address: tuple[str, int], context: ssl.SSLContext, name: str | None = NAME, source: str = "127.0.0.1"
) -> AsyncIterator[TlsWire]:
    """Connect as a client, and do the handshake.

    Args:
        address: of the edge.
        context: the client's.
        name: the server name to ask for.
        source: the address to come from.
    """
    sock = trio.socket.socket()
    with trio.fail_after(TIMEOUT):
        await sock.bind((source, 0))
        await sock.connect(address)
    stream = trio.SSLStream(trio.SocketStream(sock), context, server_hostname=name, https_compatible=True)
    try:
        with trio.fail_after(TIMEOUT):
            await stream.do_handshake()
        yield TlsWire(stream)
    finally:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def tls_tunnel(
    edge: Edge, context: ssl.SSLContext, target: str, *fields: str, name: str = NAME
) -> AsyncIterator[TlsWire]:
    """An open tunnel over TLS."""
    async with dial_tls(edge.address, context, name) as wire:
        await wire.send(handshake(target, *fields))
        head = await wire.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield wire


async def ask_tls(
    edge: Edge, context: ssl.SSLContext, target: str, *fields: str, name: str = NAME, host: str = NAME
) -> Message:
    """Send one request on a connection of its own, and return the answer."""
    async with dial_tls(edge.address, context, name) as wire:
        await wire.send(request("GET", target, *fields, host=host))
        return await wire.reply("GET")


def tls_pids(edge: Edge) -> list[int]:
    """The tls processes."""
    return [pid for pid, title in session_of(edge.pid) if title == "splicer: tls"]


def tls_text(text: str, certificates: Sequence[Path | str], *more: str) -> str:
    """A routing.toml whose only listener speaks TLS.

    Args:
        text: one with a plain listener.
        certificates: the folders.
        more: lines of its profile.
    """
    listener = '{ address = "127.0.0.1:0", tls = "edge" }'
    folders = ", ".join(f'"{folder}"' for folder in certificates)
    profile = "\n".join(["[tls.edge]", f"certificates = [{folders}]", *more])
    return text.replace('listen = "127.0.0.1:0"', f"listen = {listener}") + f"\n{profile}\n"


def tls_site(site: Site, certificates: Sequence[Path | str], *more: str, routes: str = "") -> str:
    """The usual routes behind TLS; see `tls_text`."""
    return tls_text(site.toml(routes), certificates, *more)


def server_context(folder: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """A pod's context; with `client_ca` it wants a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


async def tls_pod(
    nursery: trio.Nursery,
    address: str,
    port: int,
    context: ssl.SSLContext,
    handle: Callable[[TlsWire], Awaitable[None]],
) -> Pod:
    """A pod that speaks TLS, and calls `handle` with each connection."""
    pod = Pod()

    async def one(stream: trio.SocketStream) -> None:
        secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        try:
            await secured.do_handshake()
            await handle(TlsWire(secured))
            await secured.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError, EndOfStream):
            await trio.aclose_forcefully(secured)

    listeners = await trio.open_tcp_listeners(port, host=address)

    async def count(stream: trio.SocketStream) -> None:
        pod.connections += 1
        await one(stream)

    await nursery.start(trio.serve_listeners, count, listeners)
    return pod


async def tls_echo(wire: TlsWire) -> None:
    """A pod's handler: it accepts a WebSocket handshake, and then sends back all bytes."""
    await wire.send(switching(await wire.head()))
    while data := await wire.some():
        await wire.send(data)
