"""A supervisor's state, as the program that takes its place in the same process gets it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from splicer.ipc import wire
from splicer.ipc.codec import from_object
from splicer.ipc.facts import ConfigSummary, OperatorDrains, Reloads
from splicer.supervisor.listeners import Bound
from splicer.supervisor.processes import Process, State
from splicer.vault import protocol
from splicer.vault.handover import HolderState

VERSION = 1
_VERSIONS = {"state": VERSION, "control": wire.VERSION, "vault": protocol.VERSION}


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One of its processes; `fd` is the channel to it."""

    pid: int
    row: int
    fd: int
    state: State
    slot: int
    version: int

    @classmethod
    def of(cls, process: Process) -> ProcessState:
        """As it is now."""
        return cls(process.pid, process.row, process.sock.fileno(), process.state, process.slot, process.version)


@dataclass(frozen=True, slots=True)
class ControlState:
    """The control socket.

    Args:
        path: where it is.
        fd: the listening socket.
        clients: descriptor of each, and the topic that it waits for; "": it has sent no word yet.
    """

    path: str
    fd: int
    clients: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CountsState:
    """Where the processes count: the directory, and the descriptor with its lock."""

    path: str
    fd: int


@dataclass(frozen=True, slots=True)
class SupervisorState:
    """All that a supervisor knows. What is added needs a default: an older program doesn't write it.

    Args:
        fds: all descriptors that this speaks of.
        summary: of the configuration.
        generation: how often it has changed.
        draining: until when, on the monotonic clock; None: it isn't.
        board: the descriptor of the board.
        listeners: the sockets by name (`ipc.facts.LISTENERS`).
        processes: all of them.
        holder: the vault's state, if it is in this process.
        counts: None: there is no such directory.
        drains: what operators want to become empty.
        reloads: how reloads went.
        restarts: workers that died with a slot.
        control: None: there is none.
        last_request: the highest number that a request to a process has had.
        versions: that the program speaks which writes this.
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


def read(text: str) -> SupervisorState:
    """Read the JSON of a state; no descriptor is touched.

    Raises:
        ValueError: it is of a version that this program doesn't understand: only its own and the one before; or it is
            something else.
    """
    raw = json.loads(text)
    versions = raw.get("versions") if isinstance(raw, dict) else None
    for name, ours in _VERSIONS.items():
        theirs = versions.get(name) if isinstance(versions, dict) else None
        if theirs not in (ours, ours - 1):
            raise ValueError(f"{name} is of version {theirs}; understood are {ours - 1} and {ours}")
    return from_object(SupervisorState, raw)
