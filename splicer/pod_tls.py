"""How the pods of an upstream are spoken to by TLS, and what a connection to one of them must prove."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from splicer.patterns import Template
from splicer.tls_facts import CertificateFiles

HOST = "{host}"  # in names: the upstream's rendered host; `{pod}` and others: the captures in it


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

    def proof(self, upstream: str, template: Template, host: str) -> PodProof:
        """What a connection must prove.

        Args:
            upstream: the upstream's name.
            template: its host template.
            host: that template, rendered.
        """
        names = (_fill(name, template, host) for name in self.names)
        sni = _fill(self.sni, template, host)
        asked = sni if sni and not _is_ip(sni) else None
        return PodProof(upstream, asked, tuple(name for name in names if name is not None), self)

    @property
    def captures(self) -> frozenset[str]:
        """The captures in `names` and `sni`."""
        return frozenset(found for text in (*self.names, self.sni) for found in _CAPTURE.findall(text)) - {"host"}


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


_CAPTURE = re.compile(r"\{(\w+)\}")


# A name whose capture isn't known is none: no certificate can have it.
def _fill(text: str, template: Template, host: str) -> str | None:
    text = text.replace(HOST, host.removesuffix("."))
    if "{" not in text:
        return text
    for capture, value in template.captured(host).items():
        text = text.replace(f"{{{capture}}}", value)
    return None if "{" in text else text


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
