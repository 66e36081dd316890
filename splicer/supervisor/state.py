"""A supervisor's state, as the program that takes its place in the same process gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from splicer.ipc import wire
from splicer.supervisor.processes import Process, State
from splicer.vault import protocol
from splicer.vault.handover import HolderState, decode

VERSION = 1
_VERSIONS = {"state": VERSION, "control": wire.VERSION, "vault": protocol.VERSION}
Address = tuple[str, int]


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class ControlState:
    """The control socket, as the program after an upgrade gets it.

    Args:
        path: where it is.
        fd: the listening socket.
        clients: descriptor of each, and the topic that it waits for; "": it has sent no word yet.
    """

    path: str
    fd: int
    clients: list[tuple[int, str]]

    @classmethod
    def of(cls, path: str, fd: int, clients: list[list[Any]]) -> ControlState:
        """As JSON has it."""
        return cls(path, fd, [(fd, topic) for fd, topic in clients])


@dataclass(frozen=True)
class SupervisorState:
    """All that a supervisor knows.

    Args:
        facts: what the child said of the configuration.
        draining: until when, on the monotonic clock; None: it isn't.
        board: the descriptor of the board.
        listeners: address → descriptor.
        admin: the same for the admin process.
        metrics: the same for the scraper.
        counts: the directory in which the processes count, and the descriptor with its lock; None: there is none.
        drains: what an operator wants to become empty; None: nothing.
        reloads: how reloads went (`edge.Reloads`); None: not known.
        restarts: workers that died with a slot.
        workers: the workers.
        holder: the vault's state, if it is in this process.
        control: the control socket; None: there is none.
    """

    facts: dict[str, Any]
    generation: int
    draining: float | None
    board: int
    listeners: dict[Address, int]
    admin: dict[Address, int]
    metrics: dict[Address, int]
    workers: list[ProcessState]
    holder: HolderState | None
    counts: tuple[str, int] | None
    drains: dict[str, Any] | None
    reloads: dict[str, Any] | None
    restarts: int
    control: ControlState | None


def fields(
    facts: dict[str, Any],
    generation: int,
    draining: float | None,
    board: int,
    listeners: dict[Address, int],
    admin: dict[Address, int],
    metrics: dict[Address, int],
    workers: list[Process],
    holder: dict[str, Any] | None,
    counts: tuple[str, int] | None,
    drains: dict[str, Any],
    reloads: dict[str, Any],
    restarts: int,
    control: ControlState | None,
) -> dict[str, Any]:
    """A state, fit for JSON; see `SupervisorState`, and `vault.handover.dump` for `holder`."""
    processes = [ProcessState.of(process) for process in workers]
    return {
        "versions": _VERSIONS,
        "facts": facts,
        "generation": generation,
        "draining": draining,
        "board": board,
        "listeners": [[*address, fd] for address, fd in listeners.items()],
        "admin": [[*address, fd] for address, fd in admin.items()],
        "metrics": [[*address, fd] for address, fd in metrics.items()],
        "workers": [[one.pid, one.row, one.fd, one.state.value, one.slot, one.version] for one in processes],
        "holder": holder,
        "counts": counts,
        "drains": drains,
        "reloads": reloads,
        "restarts": restarts,
        "control": None if control is None else vars(control),
    }


def read(raw: dict[str, Any]) -> SupervisorState:
    """Read what `fields` wrote; no descriptor is touched. What came into this version later may be missing.

    Raises:
        ValueError: it is of a version that this program doesn't understand: only its own and the one before.
        KeyError, TypeError: it is something else.
    """
    for name, ours in _VERSIONS.items():
        if raw["versions"][name] not in (ours, ours - 1):
            raise ValueError(f"{name} is of version {raw['versions'][name]}; understood are {ours - 1} and {ours}")
    return SupervisorState(
        facts=raw["facts"],
        generation=raw["generation"],
        draining=raw["draining"],
        board=raw["board"],
        listeners={(host, port): fd for host, port, fd in raw["listeners"]},
        admin={(host, port): fd for host, port, fd in raw["admin"]},
        metrics={(host, port): fd for host, port, fd in raw.get("metrics", ())},
        workers=[
            ProcessState(pid, row, fd, State(state), slot, version)
            for pid, row, fd, state, slot, version in raw["workers"]
        ],
        holder=None if raw["holder"] is None else decode(raw["holder"]),
        counts=None if raw.get("counts") is None else tuple(raw["counts"]),
        drains=raw.get("drains"),
        reloads=raw.get("reloads"),
        restarts=raw.get("restarts", 0),
        control=None if raw.get("control") is None else ControlState.of(**raw["control"]),
    )
