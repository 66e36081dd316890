"""The vault for the supervisor: a holder in its own process, or a `splicer vault` in another one."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Mapping, Sequence
from typing import Protocol

from splicer.ipc.arguments import VaultConnection
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.listeners import Listeners
from splicer.vault.handover import HolderState, dump
from splicer.vault.holder import Holder
from splicer.vault.protocol import VERSION, channel

# A dead worker's channel holds at most 278 messages (net.core.wmem_default), and a holder reads 64 of them before it
# turns to another channel: after this number of rounds it has read them all. It includes one answer that may have been
# on its way already.
ROUNDS = 6


class Vault(Protocol):
    """The interface of a vault for the supervisor."""

    @property
    def path(self) -> str | None:
        """The path of its socket, if it is a process of its own."""
        ...

    @property
    def refusal(self) -> str | None:
        """Why it must not be used at all."""
        ...

    @property
    def tunnels(self) -> int:
        """The number of tunnels that it holds."""
        ...

    @property
    def why_not_durable(self) -> str | None:
        """The reason why the tunnels would be lost if this process ended now; None: they would be kept."""
        ...

    def invalidate_count(self) -> None:
        """Forget the answers so far: a worker has tunnels now, and their registrations may still be on their way."""

    def confirm_empty(self) -> bool:
        """Whether it holds no tunnel and has read all messages up to the last `invalidate_count`; ask repeatedly."""
        ...

    def vault_connection(self) -> tuple[VaultConnection, list[int]]:
        """A new worker's connection to it, and the descriptors to pass; the caller closes them."""
        ...

    @property
    def orphaned_slots(self) -> Sequence[int]:
        """Slots whose tunnels wait for a worker; the slot with most of them comes first."""
        ...

    @property
    def tidy_interval(self) -> float:
        """Seconds between two calls of `tidy`, as things are now."""
        ...

    def tidy(self) -> None:
        """Do regular work."""

    def rest(self) -> None:
        """Let messages gather for a moment when many come; called in each turn of the loop."""

    @property
    def has_tls(self) -> bool | None:
        """Whether it runs the tls processes; None: it has not said that yet."""
        ...

    def open_tls(self, table: int) -> socket.socket | None:
        """A channel to give it orders for them (`ipc.vault_tls`); None: it is away.

        Args:
            table: descriptor of the TLS table that the workers use, if they have begun.
        """
        ...

    def recover(self, listeners: Mapping[str, Listeners]) -> None:
        """Take back the listening sockets that it has kept."""

    def keep(self, listeners: Mapping[str, Listeners]) -> None:
        """Keep these listening sockets, and no others."""

    def state(self) -> tuple[HolderState | None, list[int]]:
        """The state to pass through an exec, and its descriptors."""
        ...


class OwnVault:
    """A holder in this process.

    Args:
        selector: the loop's selector.
        log: the log.
    """

    path = None
    refusal = None
    has_tls = False
    why_not_durable = "its own vault would end with it: run it with --vault"

    def __init__(self, selector: selectors.BaseSelector, log: PlainLog) -> None:
        self.holder = Holder(selector, log)
        self._rounds = 0

    @property
    def tunnels(self) -> int:
        """See `Vault`."""
        return len(self.holder.tunnels)

    def invalidate_count(self) -> None:
        """See `Vault`."""
        self._rounds = 0

    def confirm_empty(self) -> bool:
        """See `Vault`: between two calls the loop makes a turn."""
        self._rounds += 1
        return self._rounds > ROUNDS and not self.tunnels

    def vault_connection(self) -> tuple[VaultConnection, list[int]]:
        """See `Vault`."""
        ours, its = channel()
        self.holder.attach(ours)
        fd = its.detach()
        return VaultConnection(fd, VERSION), [fd]

    @property
    def orphaned_slots(self) -> Sequence[int]:
        """See `Vault`."""
        return self.holder.placement.orphaned_slots

    @property
    def tidy_interval(self) -> float:
        """See `Vault`."""
        return self.holder.tidy_interval

    def tidy(self) -> None:
        """See `Vault`."""
        self.holder.tidy()

    def rest(self) -> None:
        """See `Vault`."""
        self.holder.rest()

    def open_tls(self, table: int) -> socket.socket | None:
        """See `Vault`: the tls processes are the supervisor's own."""

    def recover(self, listeners: Mapping[str, Listeners]) -> None:
        """They are this process's own already."""

    def keep(self, listeners: Mapping[str, Listeners]) -> None:
        """They are this process's own already."""

    def state(self) -> tuple[HolderState | None, list[int]]:
        """See `Vault`."""
        return dump(self.holder)
