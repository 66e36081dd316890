"""How the pods of an upstream are spoken to by TLS, and what a connection to one of them must prove."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from splicer.tls_facts import CertificateFiles

HOST = "{host}"  # in names: the upstream's rendered host


@dataclass(frozen=True, slots=True)
class PodTls:
    """An upstream's `tls`; see `config.upstream_tls`."""

    ca: str
    certificate: CertificateFiles | None = None
    names: tuple[str, ...] = (HOST,)
    sni: str = HOST
    min_version: str = "1.2"
    ciphers: str = "intermediate"
    crl: str | None = None

    def proof(self, upstream: str, host: str) -> PodProof:
        """What a connection must prove.

        Args:
            upstream: the upstream's name.
            host: its host template, rendered.
        """
        host = host.removesuffix(".")
        sni = self.sni.replace(HOST, host)
        names = tuple(name.replace(HOST, host) for name in self.names)
        return PodProof(upstream, sni if sni and not _is_ip(sni) else None, names, self)


@dataclass(frozen=True, slots=True)
class PodProof:
    """What one connection to a pod proves; only a request that wants the same may use it again.

    Args:
        upstream: the upstream, whose profile is used.
        sni: the server name to ask for; None: none.
        names: of which the pod's certificate must have one.
        tls: the upstream's rules.
    """

    upstream: str
    sni: str | None
    names: tuple[str, ...]
    tls: PodTls


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
