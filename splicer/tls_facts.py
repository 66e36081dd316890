"""What is known of a TLS connection after its handshake: for the log, for the pod's fields, and for its next worker."""

from __future__ import annotations

from dataclasses import dataclass

TLS_EMPTY = "tls_empty"  # the reason of a connection that was closed without a byte


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A peer's certificate, which was verified.

    Args:
        fingerprint: SHA-256 of its DER, in hex.
        subject: its subject (RFC 4514), the last RDN first.
        uris: the URIs among its subject alternative names.
        dns: the DNS names among them.
        pem: the certificate itself; "": it is not asked for.
        ours: the first URI of the certificate that was shown to the peer.
        ips: the IP addresses among its subject alternative names.
        forward: whether pods learn of it.
    """

    fingerprint: str
    subject: str = ""
    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    pem: str = ""
    ours: str | None = None
    ips: tuple[str, ...] = ()
    forward: bool = False

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Its subject alternative names, as (kind, value); the kinds are those of `ssl`."""
        kinds = ("URI", self.uris), ("DNS", self.dns), ("IP Address", self.ips)
        return tuple((kind, value) for kind, values in kinds for value in values)

    @property
    def name(self) -> str:
        """Its first URI or DNS name, or else its subject."""
        return (*self.uris, *self.dns, self.subject)[0]


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """The facts of one TLS connection. A new field needs a default: two versions exchange them.

    Args:
        version: of the protocol, as OpenSSL names it: "TLSv1.3".
        cipher: the cipher suite, as OpenSSL names it.
        sni: the server name that the client asked for; None: none.
        resumed: whether the handshake resumed an earlier session.
        seconds: the time of the handshake.
        row: the row of its tls process on the board.
        entry: its number in the process's part of the TLS table (`ipc.tls_table`).
        serial: the serial number of this use of the entry.
        peer: the peer's certificate; None: it has shown none.
        port: the client's TCP port, and `local` the address and port where it was accepted: the plain end of the
            connection doesn't know them; 0 and None: not known.
    """

    version: str
    cipher: str
    sni: str | None = None
    resumed: bool = False
    seconds: float = 0.0
    row: int = 0
    entry: int = 0
    serial: int = 0
    peer: ClientCertificate | None = None
    port: int = 0
    local: tuple[str, int] | None = None

    @property
    def logged(self) -> tuple[tuple[str, str], ...]:
        """What a PROXY header may say of it, as the fields of the log."""
        named = None if self.peer is None else self.peer.name
        fields = (
            ("tls_version", self.version),
            ("tls_cipher", self.cipher),
            ("tls_sni", self.sni),
            ("tls_client", named),
        )
        return tuple((field, value) for field, value in fields if value)


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """Why a handshake failed.

    Args:
        reason: a stable word, such as "tls_no_certificate".
        detail: one more line.
        sni: the server name that was asked for, if it is known.
    """

    reason: str
    detail: str = ""
    sni: str | None = None


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a certificate is: in a folder with tls.crt and tls.key, or in two files.

    Args:
        folder: the folder; "": there are two files.
        chain: the certificate and those between it and its authority, in PEM.
        key: its private key, in PEM.
    """

    folder: str = ""
    chain: str = ""
    key: str = ""

    @property
    def name(self) -> str:
        """Its path, for messages."""
        return self.folder or self.chain
