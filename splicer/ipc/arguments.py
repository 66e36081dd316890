"""What processes are started with: the only argument of each, as JSON.

A program may start another one of a newer version, which is on disk by then: these are messages, too, and what came
later has a default.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """What every process of a supervisor gets.

    Args:
        control: descriptor of the channel to the supervisor.
        board: descriptor of the board.
        row: of this process on the board.
        version: of the wire, that the supervisor speaks.
    """

    control: int
    board: int
    row: int
    version: int = 1


@dataclass(frozen=True, slots=True)
class VaultConnection:
    """How a worker reaches the vault.

    Args:
        fd: of a connection that is there already.
        version: of the vault's protocol, that its other end speaks.
        path: of a socket to connect to.
    """

    fd: int | None = None
    version: int = 1
    path: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerArguments:
    """Of `splicer.worker`.

    Args:
        place: see there.
        path: the configuration's file, for messages.
        vault: how it reaches the vault.
        metrics: the directory to count in; None: it counts for itself.
    """

    place: Place
    path: str
    vault: VaultConnection = field(default_factory=VaultConnection)
    metrics: str | None = None


@dataclass(frozen=True, slots=True)
class AdminArguments:
    """Of `splicer.admin`.

    Args:
        place: see there.
        path: the configuration's file, for messages.
        format: of log lines.
        metrics: the directory that workers count in; None: there is none.
    """

    place: Place
    path: str
    format: str
    metrics: str | None = None


@dataclass(frozen=True, slots=True)
class SupervisorArguments:
    """Of `splicer.supervisor`.

    Args:
        path: the routing.toml.
        vault: the socket of a vault that is a process of its own; None: the supervisor has it.
        watch: whether the file is read when it has changed.
        last_good: where a configuration that was accepted is kept; None: nowhere.
        control: where the control socket is to be; None: at the first good place.
        state: descriptor of a file with a `supervisor.state.SupervisorState`; None: it begins anew.
        reread: whether the file may have changed since that state was written.
        read: what the file was when it was last read (`configfile.signature`).
    """

    path: str
    vault: str | None = None
    watch: bool = False
    last_good: str | None = None
    control: str | None = None
    state: int | None = None
    reread: bool = False
    read: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class VaultArguments:
    """Of `splicer.supervisor.vault_main`.

    Args:
        socket: where it listens.
        keep: seconds that calls are kept while no worker is there.
    """

    socket: str
    keep: float
