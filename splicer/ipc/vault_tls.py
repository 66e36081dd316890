"""The messages between the supervisor of `splicer run` and a `splicer vault --tls`, which has the tls processes.

They come over a channel of their own, which the supervisor opens by `vault.protocol.Kind.TLS`. Each side may end and
come back, and neither waits for the other: what the vault reports is its whole present state.
"""

from __future__ import annotations

from typing import ClassVar

from splicer.ipc.message import Answer, Message, Request, message
from splicer.ipc.tls_messages import ProfileFacts, TlsProcessFacts


class VaultTlsOrder(Message):
    """From a supervisor to the vault."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


class VaultTlsReport(Message):
    """From the vault to the supervisor."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


@message("vault_tls_used", since=1)
class TlsUsed(VaultTlsReport, Answer):
    """The vault's tls processes use the settings; or, if there are faults, those that they had.

    Comes with a file with the `TlsSettings` as the vault has understood them: an older one drops what it doesn't know.

    Args:
        faults: one line each, with the file and a remedy.
    """

    faults: tuple[str, ...] = ()


@message("vault_tls_table", since=1)
class TlsTableUsed(VaultTlsReport):
    """The first message of the vault; comes with the TLS table that its processes use."""


@message("vault_tls_state", since=1)
class TlsState(VaultTlsReport):
    """The tls processes that there are.

    Args:
        processes: all of them.
        restarts: those that died while they served, since the vault's start.
    """

    processes: tuple[TlsProcessFacts, ...] = ()
    restarts: int = 0


@message("vault_tls_profile", since=1)
class TlsProfile(VaultTlsReport):
    """The tls processes have read a profile's files, for the first time or because they have changed."""

    profile: ProfileFacts


@message("vault_tls_use", since=1)
class UseTls(VaultTlsOrder, Request):
    """Use these settings; comes with a file with a `TlsSettings`. If one of their files is unfit, nothing changes.

    Args:
        renew: start new processes with the code that is on disk now; the old ones end with their last connection.
    """

    ANSWER = TlsUsed

    renew: bool = False


@message("vault_tls_attend", since=1)
class AttendWorker(VaultTlsOrder):
    """Have a tls process serve a worker; comes with a channel to it (`ipc.tls_messages.TlsTask`).

    Args:
        row: the tls process's row.
    """

    row: int
