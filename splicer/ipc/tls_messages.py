"""The messages of a tls process: with the supervisor, which starts it, and with workers, which hand connections over.

Settings are paths and words; no message ever has a key. `tests/ipc/test_messages.py` has the table of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from splicer.ipc.message import Answer, Message, Request, message
from splicer.tls_facts import CertificateFiles


@dataclass(frozen=True, slots=True)
class ServerProfile:
    """The rules for those whom we answer; see `config.tls`."""

    certificates: tuple[CertificateFiles, ...]
    unknown_name: str = "refuse"
    min_version: str = "1.2"
    ciphers: str = "intermediate"
    session_tickets: bool = True
    client_certificate: str = "off"
    client_ca: str | None = None
    client_crl: str | None = None
    client_names: tuple[str, ...] = ()
    forward_certificate: str = "off"


@dataclass(frozen=True, slots=True)
class PodProfile:
    """The rules for the pods of an upstream; see `config.upstream_tls`. The names come with each connection."""

    ca: str
    certificate: CertificateFiles | None = None
    min_version: str = "1.2"
    ciphers: str = "intermediate"
    crl: str | None = None


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """All profiles of a configuration.

    Args:
        processes: the number of tls processes; 0: TLS is not used.
        servers: the profiles of listeners, by name.
        pods: those of upstreams, by the upstream's name.
    """

    processes: int = 0
    servers: Mapping[str, ServerProfile] = field(default_factory=dict)
    pods: Mapping[str, PodProfile] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The profiles: "client/NAME" or "pod/NAME"."""
        return (*(f"client/{name}" for name in self.servers), *(f"pod/{name}" for name in self.pods))


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """A certificate in use, without its key.

    Args:
        path: where it was read.
        names: its DNS names, IP addresses and URIs.
        not_before: seconds since the epoch.
        not_after: seconds since the epoch.
        key: "RSA", "ECDSA" or another word for its kind of key.
        fingerprint: SHA-256 of its DER, in hex.
    """

    path: str
    names: tuple[str, ...]
    not_before: float
    not_after: float
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """A profile as a tls process has loaded it.

    Args:
        name: the listener profile's name, or the upstream's.
        side: "client" or "pod".
        certificates: those in use.
        fault: why the files that are there now are not used; None: they are.
        warnings: what its owner should know.
    """

    name: str
    side: str
    certificates: tuple[CertificateFacts, ...]
    fault: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsProcessFacts:
    """One tls process.

    Args:
        pid: its process id.
        row: its row on the board.
        generation: the number of upgrades before its start.
        state: "starting", "serving", or "leaving" while it has connections that an upgrade has left there.
    """

    pid: int
    row: int
    generation: int
    state: str


class TlsOrder(Message):
    """From the supervisor to a tls process."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


class TlsReport(Message):
    """From a tls process to the supervisor."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


class TlsTask(Message):
    """From a worker to a tls process; comes with the socket to the peer, and with the tls process's plain end.

    The answer is in band, on the plain end (`tls.preface`): so it outlives the worker, and nobody keeps requests.
    """

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


@message("tls_ready", since=1)
class TlsReady(TlsReport):
    """The tls process runs, and has no settings yet."""


@message("tls_configured", since=1)
class TlsConfigured(TlsReport, Answer):
    """The tls process uses the settings; or, if there are faults, those that it had.

    Args:
        faults: one line each.
    """

    faults: tuple[str, ...] = ()


@message("tls_profile", since=1)
class TlsProfileRead(TlsReport):
    """The tls process has read a profile's files, for the first time or because they have changed."""

    profile: ProfileFacts


@message("tls_crash", since=1)
class TlsCrash(TlsReport):
    """A bug has ended one connection of the tls process.

    Args:
        traceback: of the error.
    """

    traceback: str


@message("tls_configure", since=1)
class ConfigureTls(TlsOrder, Request):
    """Use other settings; comes with a file with a `TlsSettings`. If one of their files is unfit, nothing changes."""

    ANSWER = TlsConfigured


@message("tls_attend", since=1)
class AttendTls(TlsOrder):
    """Serve a worker; comes with a channel to it."""


@message("tls_retire", since=1)
class RetireTls(TlsOrder):
    """End when the last connection is over; workers give new ones to others."""


@message("tls_serve", since=1)
class ServeClient(TlsTask):
    """Be the server of a client that has connected.

    Args:
        profile: the listener's.
    """

    profile: str


@message("tls_reach", since=1)
class ReachPod(TlsTask):
    """Be the client of a pod that was dialled.

    Args:
        upstream: whose profile is used.
        sni: the server name to ask for; None: none.
        names: of which the pod's certificate must have one.
    """

    upstream: str
    sni: str | None
    names: tuple[str, ...]
