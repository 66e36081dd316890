"""Clients' connections over TLS: version 1.3, one cipher suite (`openssl.cnf`), and a full handshake for each.

The certificate is not verified: that would be the load's work alone.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bench.certificate import NAME

CIPHER = "TLS_AES_128_GCM_SHA256"
ENVIRON: Mapping[str, str] = {"OPENSSL_CONF": str(Path(__file__).with_name("openssl.cnf"))}
"""With it OpenSSL offers `CIPHER` alone; it is read when Python's `ssl` is imported."""


class NotAsWanted(ConnectionError):
    """A connection has another version or cipher suite than the others, or has resumed a session."""


def unavailable() -> str | None:
    """Why there can be no such clients here; None if there can."""
    return None if ssl.HAS_TLSv1_3 else f"{ssl.OPENSSL_VERSION} has no TLS 1.3"


@cache
def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def wrapped(sock: socket.socket) -> ssl.SSLSocket:
    """A connected socket that has yet to do its handshake."""
    return _context().wrap_socket(sock, server_hostname=NAME, do_handshake_on_connect=False)


def check(sock: ssl.SSLSocket) -> None:
    """Check what the handshake has agreed on.

    Raises:
        NotAsWanted: it is something else than with the other peers.
    """
    cipher = (sock.cipher() or ("",))[0]
    if (sock.version(), cipher, sock.session_reused) != ("TLSv1.3", CIPHER, False):
        raise NotAsWanted(f"{sock.version()}, {cipher}, session reused: {sock.session_reused}")
