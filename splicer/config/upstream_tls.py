"""An upstream's `tls`: its pods are spoken to by TLS, and each must prove its name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from splicer.config import kinds
from splicer.config.certificates import CERTIFICATE, PATH, absolute
from splicer.config.keys import key, written
from splicer.config.kinds import Kind, any_of
from splicer.config.reader import Fault, Reader
from splicer.config.scalars import BadValue, show, text
from splicer.config.tls import MIN_VERSION, peer_name
from splicer.patterns import Template
from splicer.pod_tls import HOST, PodTls
from splicer.tls_facts import CertificateFiles

SYSTEM = "system"
_PLACEHOLDER = re.compile(r"\{[^\W\d]\w*\}")


def _authorities(value: object) -> str:
    word = text(value)
    return word if word == SYSTEM else absolute(word)


def _filled(word: str) -> str:
    """A text with something in the place of `{host}` and of captures."""
    filled = _PLACEHOLDER.sub("x", word)
    if "{" in filled or "}" in filled:
        raise BadValue(f'{show(word)}: a brace begins or ends a placeholder, such as "{HOST}", and nothing else')
    return filled


def _sni(value: object) -> str:
    word = text(value)
    _filled(word)
    return word


def _name(value: object) -> str:
    word = text(value)
    peer_name(_filled(word))
    return word


_NAMES = kinds.list_of(kinds.text(_name, "name"), "names", empty="there is no unverified TLS")


@frozen
class PodTlsSpec:
    """The keys of the table; see `pod_tls.PodTls`."""

    ca: str = key(
        Kind(_authorities, kinds.unchanged, any_of(PATH.schema, {"enum": [SYSTEM]}), 'absolute path, or `"system"`'),
        "The authorities of the pods' certificates, in PEM; `system` are those of this machine.",
    )
    certificate: CertificateFiles | None = key(
        CERTIFICATE, "Ours, for pods that want one (mTLS): a folder, or a table with `chain` and `key`.", default=None
    )
    names: tuple[str, ...] = key(
        _NAMES,
        "Of these, a pod's certificate must have one: a DNS name, an IP address, or a URI such as "
        "`spiffe://cluster.local/ns/voice-system/sa/voice-agent`. `{host}` is the name in `address` with its captures, "
        "`{pod}` one of them.",
        default=(HOST,),
    )
    sni: str = key(
        kinds.text(_sni, "name"),
        "The server name to ask for; none if it is an address or empty. It may have the same placeholders.",
        default=HOST,
    )
    min_version: str = key(MIN_VERSION, "The oldest version of TLS.", default="1.2")
    ciphers: str = key(kinds.TEXT, "As in `[tls.NAME]`.", default="intermediate")
    crl: str | None = key(PATH, "Revocation lists of `ca`, in PEM.", default=None)


POD_TLS_TABLE = Reader(PodTlsSpec)


def _parse(value: object) -> PodTls:
    spec = POD_TLS_TABLE(value)
    if spec.crl is not None and spec.ca == SYSTEM:
        raise BadValue('crl: needs the authorities in a file; ca = "system" has lists of its own')
    return PodTls(spec.ca, spec.certificate, spec.names, spec.sni, spec.min_version, spec.ciphers, spec.crl)


POD_TLS: Kind[PodTls] = Kind(
    _parse,
    lambda tls: written(POD_TLS_TABLE.keys, tls),
    POD_TLS_TABLE.schema(),
    "table",
    brief=lambda tls: f"ca {tls.ca}, names {' or '.join(tls.names)}",
)


def placeholder_faults(tls: PodTls, host: Template) -> Iterator[Fault]:
    """Faults for captures that `address` doesn't have: a pod must prove the name by which it was chosen, no other.

    Args:
        tls: an upstream's `tls`.
        host: its host template.
    """
    for name in sorted(tls.captures - host.captures):
        known = ", ".join(f"{{{capture}}}" for capture in ("host", *sorted(host.captures)))
        key = "names" if any(f"{{{name}}}" in text for text in tls.names) else "sni"
        yield Fault(("tls", key), f"{{{name}}} is nothing that `address` has; it may have {known}")
    for name in sorted((tls.captures & host.captures) - host.clear):
        text = f"{{{name}}} can't be told from another capture in the same label of `address`; write {HOST}"
        yield Fault(("tls",), text)
