"""The arguments of processes: each gets one, as JSON.

A program may start a newer version that is on disk by then. So these are messages between two versions, too: fields
that were added later have a default.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """The arguments of every process of a supervisor.

    Args:
        control: descriptor of the channel to the supervisor.
        board: descriptor of the board.
        row: the number of the process's row on the board.
        version: the supervisor's version of the wire.
        routes: descriptor of the board's counts by route; None: the supervisor has none.
        loads: descriptor of the board's counts by endpoint; None: the supervisor has none.
        endpoints: descriptor of the endpoint snapshot's memory; None: the supervisor has none.
        tls: descriptor of the TLS table; None: the supervisor has none.
        connects: descriptor of the board's outcomes of connects; None: the supervisor has none.
    """

    control: int
    board: int
    row: int
    version: int = 1
    routes: int | None = None
    loads: int | None = None
    endpoints: int | None = None
    tls: int | None = None
    connects: int | None = None


@dataclass(frozen=True, slots=True)
class VaultConnection:
    """A worker's connection to the vault.

    Args:
        fd: descriptor of an open connection.
        version: the vault's protocol version at its other end.
        path: path of a socket to connect to.
    """

    fd: int | None = None
    version: int = 1
    path: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerArguments:
    """The argument of `splicer.worker`.

    Args:
        place: see `Place`.
        path: the configuration's file, for messages.
        vault: its connection to the vault.
        metrics: the directory of the metrics' files; None: it counts in memory.
    """

    place: Place
    path: str
    vault: VaultConnection = field(default_factory=VaultConnection)
    metrics: str | None = None


@dataclass(frozen=True, slots=True)
class AdminArguments:
    """The argument of `splicer.admin`.

    Args:
        place: see `Place`.
        path: the configuration's file, for messages.
        format: the value of ``log.format``.
        metrics: the directory of the metrics' files; None: there is none.
    """

    place: Place
    path: str
    format: str
    metrics: str | None = None


@dataclass(frozen=True, slots=True)
class DiscoveryArguments:
    """The argument of `splicer.discovery`; see `AdminArguments`."""

    place: Place
    path: str
    format: str
    metrics: str | None = None


@dataclass(frozen=True, slots=True)
class TlsArguments:
    """The argument of `splicer.tls`.

    Args:
        place: see `Place`.
    """

    place: Place


@dataclass(frozen=True, slots=True)
class TemplateArguments:
    """The argument of `splicer.template`.

    Args:
        control: descriptor of the channel to the supervisor.
        version: the supervisor's version of the wire.
    """

    control: int
    version: int = 1


@dataclass(frozen=True, slots=True)
class StartedTemplate:
    """A template that was started before its supervisor's program.

    Args:
        pid: its process id.
        control: descriptor of the channel to it.
    """

    pid: int
    control: int


@dataclass(frozen=True, slots=True)
class SupervisorArguments:
    """The argument of `splicer.supervisor`.

    Args:
        path: the routing.toml.
        vault: the socket of a vault that is a process of its own; None: the supervisor has the vault.
        watch: whether a change of the file starts a reload.
        last_good: the file that keeps the last accepted configuration; None: it is not kept.
        control: the path of the control socket; None: the first possible one.
        state: descriptor of a file with a `supervisor.state.SupervisorState`; None: this is a new edge.
        reread: whether the file may have changed since that state was written.
        read: the file's signature when it was last read (`configfile.signature`).
        made: whether the file was made for this edge (`splicer run --to`), and is removed at its end.
        template: a template that loads already; None: the supervisor starts one.
    """

    path: str
    vault: str | None = None
    watch: bool = False
    last_good: str | None = None
    control: str | None = None
    state: int | None = None
    reread: bool = False
    read: tuple[int, ...] | None = None
    made: bool = False
    template: StartedTemplate | None = None


@dataclass(frozen=True, slots=True)
class VaultArguments:
    """The argument of `splicer.supervisor.vault_main`.

    Args:
        socket: the path of its socket.
        keep: seconds for which calls without a worker are kept.
        tls: whether it runs the tls processes.
    """

    socket: str
    keep: float
    tls: bool = False
