"""The profiles in use: read at the order of the supervisor, and again when their files change."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from splicer.ipc.tls_messages import (
    CertificateFacts,
    PodProfile,
    ProfileFacts,
    ServerProfile,
    TlsSettings,
)
from splicer.tls.contexts import SYSTEM, PodContext, ServerContexts, system_has_authorities
from splicer.tls.files import CHAIN, FileFault, Signature, is_sub_path, signature
from splicer.tls_facts import CertificateFiles

_SOON_SECONDS = 7 * 86_400.0  # seconds before its end in which a certificate is complained of

Profile = ServerProfile | PodProfile
Loaded = ServerContexts | PodContext


@dataclass(slots=True)
class _Entry:
    """One profile: what is in use, and what was seen of its files."""

    profile: Profile
    loaded: Loaded
    seen: Signature  # at the last look
    judged: Signature  # of the files that were tried last
    fault: str | None = field(default=None)


class Store:
    """The profiles of a tls process, by side and name.

    Args:
        changed: called with the facts of a profile that was read again.
    """

    def __init__(self, changed: Callable[[ProfileFacts], None]) -> None:
        self._changed = changed
        self._servers: dict[str, _Entry] = {}
        self._pods: dict[str, _Entry] = {}

    def server(self, name: str) -> ServerContexts | None:
        """The contexts of a listener's profile; None: there is none of this name."""
        entry = self._servers.get(name)
        return entry.loaded if entry is not None and isinstance(entry.loaded, ServerContexts) else None

    def pod(self, name: str) -> PodContext | None:
        """The context of an upstream; None: it has none."""
        entry = self._pods.get(name)
        return entry.loaded if entry is not None and isinstance(entry.loaded, PodContext) else None

    # Connections keep the contexts with which they began.
    def use(self, settings: TlsSettings) -> list[str]:
        """Use other settings; return the faults: if there are any, nothing changes."""
        faults: list[str] = []
        tables: list[dict[str, _Entry]] = []
        for section, profiles in (("tls", settings.servers), ("upstreams", settings.pods)):
            table = {}
            for name, profile in profiles.items():
                try:
                    table[name] = _load(profile)
                except FileFault as fault:
                    faults.append(f"[{section}.{name}] {fault}")
            tables.append(table)
        if not faults:
            self._servers, self._pods = tables
        return faults

    def facts(self) -> list[ProfileFacts]:
        """The facts of all profiles."""
        return [_facts(name, entry) for table in (self._servers, self._pods) for name, entry in table.items()]

    # Acted on when two looks agree: a file may be half written.
    def look(self) -> None:
        """Look for changed files; call this once a second."""
        for table in (self._servers, self._pods):
            for name, entry in table.items():
                now = _signature(entry.profile)
                before, entry.seen = entry.seen, now
                if now == before and now != entry.judged:
                    self._read_again(name, entry, now)

    def _read_again(self, name: str, entry: _Entry, now: Signature) -> None:
        entry.judged = now
        try:
            loaded = _load(entry.profile).loaded
        except FileFault as fault:
            entry.fault = str(fault)
        else:
            entry.loaded, entry.fault = loaded, None
        self._changed(_facts(name, entry))


def _load(profile: Profile) -> _Entry:
    before = _signature(profile)
    if isinstance(profile, ServerProfile):
        loaded: Loaded = ServerContexts(profile)
    else:
        if profile.ca == SYSTEM and not system_has_authorities():
            raise FileFault('ca = "system": this machine has no store of authorities; install ca-certificates')
        loaded = PodContext(profile)
    return _Entry(profile, loaded, before, before)


def check(settings: TlsSettings) -> tuple[list[str], list[str]]:
    """The faults and the warnings of all files that the settings name, for `splicer check --files`."""
    store = Store(lambda _: None)
    faults = store.use(settings)
    return faults, [f"{facts.name}: {warning}" for facts in store.facts() for warning in facts.warnings]


def _signature(profile: Profile) -> Signature:
    certificates: tuple[CertificateFiles, ...]
    if isinstance(profile, ServerProfile):
        certificates, others = profile.certificates, (profile.client_ca, profile.client_crl)
    else:
        certificates = () if profile.certificate is None else (profile.certificate,)
        others = (None if profile.ca == SYSTEM else profile.ca, profile.crl)
    return signature(certificates, tuple(path for path in others if path is not None))


def _facts(name: str, entry: _Entry) -> ProfileFacts:
    side = "client" if isinstance(entry.profile, ServerProfile) else "pod"
    certificates = entry.loaded.certificates
    fault = entry.fault
    if fault is not None and certificates:
        until = min(one.not_after for one in certificates)
        fault += f"; serving the old one until {datetime.fromtimestamp(until, UTC):%Y-%m-%d}"
    warnings = tuple(warning for one in certificates for warning in _warnings(one))
    return ProfileFacts(name, side, certificates, fault, warnings)


def _warnings(certificate: CertificateFacts) -> list[str]:
    warnings, now = [], time.time()
    if not certificate.names:
        warnings.append(f"{certificate.path} has no subject alternative name: no client will accept it")
    if now > certificate.not_after:
        warnings.append(f"{certificate.path} has expired")
    elif now < certificate.not_before:
        warnings.append(f"{certificate.path} is not valid yet")
    elif certificate.not_after - now < _SOON_SECONDS:
        warnings.append(f"{certificate.path} expires within 7 days")
    if is_sub_path(certificate.path) or is_sub_path(f"{certificate.path}/{CHAIN}"):
        warnings.append(f"{certificate.path} is mounted by subPath, and a kubelet never renews such a file")
    return warnings
