"""A supervisor's state, for the program that replaces it in the same process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from splicer.ipc import wire
from splicer.ipc.codec import from_object
from splicer.ipc.facts import ConfigSummary, OperatorDrains, Reloads
from splicer.supervisor.launch import WORKER
from splicer.supervisor.listeners import Bound
from splicer.supervisor.processes import Process, State
from splicer.vault import protocol
from splicer.vault.handover import HolderState

VERSION = 1
_VERSIONS = {"state": VERSION, "control": wire.VERSION, "vault": protocol.VERSION}


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One of the supervisor's processes; `fd` is the channel to it. A new field needs a default, as below.

    Args:
        module: the program that it runs.
    """

    pid: int
    row: int
    fd: int
    state: State
    slot: int
    version: int
    mover: str = ""
    module: str = WORKER

    @classmethod
    def of(cls, process: Process) -> ProcessState:
        """The current state of a process."""
        fd = process.sock.fileno()
        where = process.pid, process.row, fd
        return cls(*where, process.state, process.slot, process.version, process.mover, process.module)


@dataclass(frozen=True, slots=True)
class ControlState:
    """The control socket.

    Args:
        path: its path.
        fd: the listening socket.
        clients: for each client its descriptor, and the topic that it waits for; "": it has sent no command yet.
    """

    path: str
    fd: int
    clients: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CountsState:
    """The directory of the metrics' files, and the descriptor with its lock."""

    path: str
    fd: int


@dataclass(frozen=True, slots=True)
class SupervisorState:
    """The whole state of a supervisor. A new field needs a default, because older programs don't write it.

    Args:
        fds: all descriptors in this state.
        summary: the facts of the configuration in force.
        generation: the number of changes of the configuration.
        draining: the deadline of a drain, on the monotonic clock; None: there is no drain.
        board: the descriptor of the board.
        listeners: the sockets by name (`ipc.facts.LISTENERS`).
        processes: all processes.
        holder: the vault's state, if the vault is in this process.
        counts: the directory of the metrics' files; None: there is none.
        drains: the operators' drains.
        reloads: the outcomes of reloads.
        restarts: the number of workers that died with a slot.
        control: the control socket; None: there is none.
        last_request: the highest number of a request to a process so far.
        versions: the versions of the program that writes this.
        routes: the descriptor of the board's counts by route; None: it has none.
        loads: the descriptor of the board's counts by endpoint; None: it has none.
        endpoints: the descriptor of the endpoint snapshot's memory; None: it has none.
        tls: the descriptor of the TLS table; None: it has none.
        tls_generation: the number of upgrades so far.
        tls_in_vault: whether the vault runs the tls processes.
        connects: the descriptor of the board's outcomes of connects; None: it has none.
    """

    fds: tuple[int, ...]
    summary: ConfigSummary
    generation: int
    draining: float | None
    board: int
    listeners: Mapping[str, tuple[Bound, ...]]
    processes: tuple[ProcessState, ...]
    holder: HolderState | None
    counts: CountsState | None
    drains: OperatorDrains
    reloads: Reloads
    restarts: int
    control: ControlState | None
    last_request: int
    versions: Mapping[str, int] = field(default_factory=lambda: dict(_VERSIONS))
    routes: int | None = None
    loads: int | None = None
    endpoints: int | None = None
    tls: int | None = None
    tls_generation: int = 0
    tls_in_vault: bool = False
    connects: int | None = None


def read(text: str) -> SupervisorState:
    """Read the JSON of a state; no descriptor is used.

    Raises:
        ValueError: the text is no state, or not of this program's version or the one before.
    """
    raw = json.loads(text)
    versions = raw.get("versions") if isinstance(raw, dict) else None
    for name, ours in _VERSIONS.items():
        theirs = versions.get(name) if isinstance(versions, dict) else None
        if theirs not in (ours, ours - 1):
            raise ValueError(f"{name} is of version {theirs}; understood are {ours - 1} and {ours}")
    return from_object(SupervisorState, raw)
