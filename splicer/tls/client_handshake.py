"""The handshake with a client: its server name is probed first, and decides which context it gets."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from typing import Any

from splicer.tls import failures
from splicer.tls.contexts import ServerContexts
from splicer.tls.handshake import Handshake
from splicer.tls.names import has_name
from splicer.tls.probe import Probe, ProbeFailed
from splicer.tls_facts import TLS_EMPTY, ClientCertificate, TlsFailure

_UNRECOGNIZED_NAME = bytes.fromhex("15030300020270")  # a fatal alert (RFC 6066 §3), which `ssl` can't send
_SPOKEN_HERE = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 19\r\n"
    b"Connection: close\r\n\r\nTLS is spoken here\n"
)
_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "domainComponent": "DC",
    "userId": "UID",
}
_ESCAPED = str.maketrans({character: f"\\{character}" for character in ',+"\\<>;'})


class ClientHandshake(Handshake):
    """With a client.

    Args:
        contexts: of the listener's profile.
        probe: of the process; see `probe`.
        more: as `Handshake`.
    """

    def __init__(self, contexts: ServerContexts, probe: ssl.SSLContext, *more: Any) -> None:
        self._contexts = contexts
        self._probe: Probe | None = Probe(probe)
        self._ours: str | None = None
        super().__init__(*more)

    def take(self, data: bytes) -> None:
        """See `Handshake`."""
        probe = self._probe
        try:
            if probe is None or not probe.feed(data):
                return
        except ProbeFailed as failure:
            self._refuse(failure)
            return
        self._probe, self.sni = None, probe.sni
        context = self._contexts.choose(probe.sni)
        if context is None:
            self.refuse(TlsFailure("tls_unknown_name", "", self.sni), _UNRECOGNIZED_NAME)
            return
        self._ours = self._contexts.ours.get(id(context))
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.incoming.write(probe.data)

    def _refuse(self, failure: ProbeFailed) -> None:
        if failure.reason in failures.PLAIN_HTTP:
            self.refuse(TlsFailure("tls_not_tls", "plain HTTP on a TLS port"), _SPOKEN_HERE)
        else:
            self.refuse(failures.of_client(failure.reason, failure.reason), failure.answer)

    def cut_off(self) -> TlsFailure:
        """See `Handshake`."""
        empty = self._probe is not None and not self._probe.data
        return TlsFailure(TLS_EMPTY, "closed without a byte") if empty else super().cut_off()

    def judge(self, tls: ssl.SSLObject) -> TlsFailure | None:
        """See `Handshake`."""
        wanted = self._contexts.profile.client_names
        certificate = tls.getpeercert()
        if not wanted or (certificate is None and self._contexts.profile.client_certificate == "request"):
            return None
        if certificate and has_name(certificate.get("subjectAltName", ()), wanted):  # type: ignore[arg-type]
            return None
        return TlsFailure("tls_name", "the certificate has none of client_names", self.sni)

    def facts_of(self, der: bytes, certificate: Mapping[str, Any]) -> ClientCertificate | None:
        """See `Handshake`."""
        names = certificate.get("subjectAltName", ())
        return ClientCertificate(
            fingerprint=hashlib.sha256(der).hexdigest(),
            subject=subject_of(certificate),
            uris=tuple(value for kind, value in names if kind == "URI"),
            dns=tuple(value for kind, value in names if kind == "DNS"),
            pem=ssl.DER_cert_to_PEM_cert(der) if self._contexts.profile.forward_certificate == "full" else "",
            ours=self._ours,
            ips=tuple(value for kind, value in names if kind == "IP Address"),
            forward=self._contexts.profile.forward_certificate != "off",
        )

    def failure_of(self, error: ssl.SSLError) -> TlsFailure:
        """See `Handshake`."""
        return failures.of_client(error.reason or "", failures.detail(error), self.sni)


def subject_of(certificate: Mapping[str, Any]) -> str:
    """A certificate's subject as text (RFC 4514): the last RDN first."""
    rdns = []
    for rdn in reversed(certificate.get("subject", ())):
        parts = [f"{_SHORT.get(name, name)}={value.translate(_ESCAPED)}" for name, value in rdn]
        rdns.append("+".join(parts))
    return ",".join(rdns)
