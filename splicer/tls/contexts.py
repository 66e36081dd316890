"""Profiles become OpenSSL's contexts: which certificate answers to which name, and whom it accepts.

Contexts are never made by `ssl.create_default_context`: what it checks differs between versions of Python.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from splicer.ipc.tls_messages import CertificateFacts, PodProfile, ServerProfile
from splicer.tls.der import Certificate, first_certificate
from splicer.tls.files import FileFault, OpenPair, opened, text_of
from splicer.tls.names import canonical, wildcard_of
from splicer.tls_facts import CertificateFiles

# Mozilla's guideline 5.8 (2026-05-03), "intermediate", for TLS 1.2; those of TLS 1.3 are OpenSSL's.
INTERMEDIATE = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY = {"off": ssl.CERT_NONE, "request": ssl.CERT_OPTIONAL, "require": ssl.CERT_REQUIRED}
_OPTIONS = ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
SYSTEM = "system"


class ServerContexts:
    """The contexts of one listener profile.

    Args:
        profile: the profile; all its files are read.

    Raises:
        FileFault: a file can't be used.
    """

    def __init__(self, profile: ServerProfile) -> None:
        self.profile = profile
        with ExitStack() as stack:
            pairs = [stack.enter_context(opened(files)) for files in profile.certificates]
            certificates = [_read(pair) for pair in pairs]
            contexts: dict[tuple[int, ...], ssl.SSLContext] = {}

            def context(numbers: tuple[int, ...]) -> ssl.SSLContext:
                if numbers not in contexts:
                    contexts[numbers] = _server_context(profile, [pairs[number] for number in numbers])
                return contexts[numbers]

            self._by_name = {name: context(numbers) for name, numbers in _answering(certificates).items()}
            first = _with_other_keys(certificates, 0)
            self._first = context(first) if profile.unknown_name == "first" else None
            for number in range(len(pairs)):
                if not any(number in numbers for numbers in contexts):
                    context((number,))  # it answers to no name; but its key must fit
        self.ours = {id(made): _first_uri(certificates, numbers) for numbers, made in contexts.items()}
        self.certificates = tuple(map(_facts, profile.certificates, certificates))

    def choose(self, sni: str | None) -> ssl.SSLContext | None:
        """The context for the name that a client asks for; None: there is none."""
        if sni is not None:
            name = canonical(sni)
            found = self._by_name.get(name) or self._by_name.get(wildcard_of(name) or "")
            if found is not None:
                return found
        return self._first


class PodContext:
    """The context for an upstream's pods.

    Args:
        profile: the profile; all its files are read.

    Raises:
        FileFault: a file can't be used.
    """

    def __init__(self, profile: PodProfile) -> None:
        self.profile = profile
        context = self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # `names` are compared, which may be URIs
        context.verify_mode = ssl.CERT_REQUIRED
        _set_rules(context, profile)
        if profile.ca == SYSTEM:
            context.set_default_verify_paths()
        else:
            _trust(context, profile.ca, profile.crl)
        self.certificates: tuple[CertificateFacts, ...] = ()
        if profile.certificate is not None:
            with opened(profile.certificate) as pair:
                certificate = _read(pair)
                _load_pair(context, pair)
            self.certificates = (_facts(profile.certificate, certificate),)


def _set_rules(context: ssl.SSLContext, profile: ServerProfile | PodProfile) -> None:
    context.minimum_version = _VERSIONS[profile.min_version]
    context.options |= _OPTIONS
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.set_ciphers(INTERMEDIATE if profile.ciphers == "intermediate" else profile.ciphers)
    except ssl.SSLError as error:
        raise FileFault(f"ciphers: OpenSSL knows none of {profile.ciphers!r}") from error


def _server_context(profile: ServerProfile, pairs: Iterable[OpenPair]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_rules(context, profile)
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # the client knows whether it has AES in hardware
    if not profile.session_tickets:
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    context.verify_mode = _VERIFY[profile.client_certificate]
    if profile.client_ca is not None:
        _trust(context, profile.client_ca, profile.client_crl)
    for pair in pairs:
        _load_pair(context, pair)
    return context


def _trust(context: ssl.SSLContext, ca: str, crl: str | None) -> None:
    _load_authorities(context, ca, "certificate of an authority")
    if crl is not None:
        _load_authorities(context, crl, "revocation list")
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


# From a copy: the file may be replaced while OpenSSL reads it.
def _load_authorities(context: ssl.SSLContext, path: str, what: str) -> None:
    with tempfile.TemporaryFile() as copy:
        copy.write(text_of(path))
        copy.flush()
        try:
            context.load_verify_locations(f"/proc/self/fd/{copy.fileno()}")
        except ssl.SSLError as error:
            raise FileFault(f"{path}: has no {what} in PEM ({_reason(error)})") from error


def _load_pair(context: ssl.SSLContext, pair: OpenPair) -> None:
    try:
        context.load_cert_chain(*pair.paths, password=_no_password)
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise FileFault(f"{pair.name}: the key does not belong to the certificate") from error
        raise FileFault(f"{pair.name}: OpenSSL can't use the certificate or its key ({_reason(error)})") from error
    except _EncryptedKeyError as error:
        raise FileFault(f"{pair.name}: the key is encrypted; store it without a passphrase") from error


class _EncryptedKeyError(Exception):
    """OpenSSL asks for a passphrase, and would read it from a terminal."""


def _no_password() -> str:
    raise _EncryptedKeyError


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "no PEM").lower().replace("_", " ")


def _read(pair: OpenPair) -> Certificate:
    try:
        return first_certificate(pair.pem)
    except ValueError as error:
        raise FileFault(f"{pair.name}: {error}") from error


def _facts(files: CertificateFiles, certificate: Certificate) -> CertificateFacts:
    names = tuple(value for _, value in certificate.names)
    return CertificateFacts(
        files.name, names, certificate.not_before, certificate.not_after, certificate.key, certificate.fingerprint
    )


# Certificates with the same name and different kinds of keys share a context, in which OpenSSL chooses.
def _answering(certificates: list[Certificate]) -> Mapping[str, tuple[int, ...]]:
    """The numbers of the certificates that answer to each name, one of each kind of key."""
    answering: dict[str, dict[str, int]] = {}
    for number, certificate in enumerate(certificates):
        for kind, value in certificate.names:
            if kind == "DNS":
                answering.setdefault(canonical(value), {}).setdefault(certificate.key, number)
    return {name: tuple(numbers.values()) for name, numbers in answering.items()}


def _with_other_keys(certificates: list[Certificate], number: int) -> tuple[int, ...]:
    names = [canonical(value) for kind, value in certificates[number].names if kind == "DNS"]
    return _answering(certificates)[names[0]] if names else (number,)


def _first_uri(certificates: list[Certificate], numbers: tuple[int, ...]) -> str | None:
    return next((value for kind, value in certificates[numbers[0]].names if kind == "URI"), None)


def system_has_authorities() -> bool:
    """Whether the machine has a store of authorities for `ca = "system"`."""
    paths = ssl.get_default_verify_paths()
    return any(path is not None and Path(path).exists() for path in (paths.cafile, paths.capath))
