"""Facts about the edge: parts of messages between processes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import ClassVar

from splicer.ipc.codec import rest
from splicer.ipc.message import Message, message
from splicer.ipc.tls_messages import TlsProcessFacts, TlsSettings

Address = tuple[str, int]

_MOST_FAULTS, _LONGEST_FAULT = 5, 500  # lines, and characters of one

# The listeners of an edge: the key of [server] with their addresses, and the process that accepts there. Another
# listener is one more line here; the process that accepts gets the sockets under this name.
LISTENERS = {"listen": "worker", "admin": "admin", "metrics": "admin"}


def by_listener(fds: Iterable[int], counts: Mapping[str, int]) -> dict[str, list[int]]:
    """Descriptors by the name of their listener.

    Args:
        fds: all descriptors, in order.
        counts: the number of descriptors for each name.
    """
    rest_of = iter(fds)
    return {name: list(islice(rest_of, count)) for name, count in counts.items()}


@dataclass(frozen=True, slots=True)
class OperatorDrains:
    """The operators' drains, each with its start in seconds since the epoch.

    Args:
        all: the start of the drain of the whole edge; None: there is none.
        pods: the drained pods, by name.
        routes: the drained routes, by name.
    """

    all: float | None = None
    pods: Mapping[str, float] = field(default_factory=dict)
    routes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reloads:
    """The outcomes of reloads.

    Args:
        ok: the number of successful reloads.
        failed: the number of failed reloads.
        last_ok: whether the last one succeeded.
        last_at: the time of the last one, in seconds since the epoch; None: unknown.
        faults: why the last one failed, a few lines; none if it has not.
    """

    ok: int = 0
    failed: int = 0
    last_ok: bool = True
    last_at: float | None = None
    faults: tuple[str, ...] = ()

    # The facts must fit into one message, and an operator wants the first lines.
    def after(self, *faults: str, ok: bool) -> Reloads:
        """The outcomes with one more reload, which ends now."""
        told = tuple(fault[:_LONGEST_FAULT] for fault in faults[:_MOST_FAULTS])
        count = {"ok": self.ok + ok, "failed": self.failed + (not ok)}
        return replace(self, **count, last_ok=ok, last_at=time.time(), faults=told)


@dataclass(frozen=True, slots=True)
class EdgeFacts:
    """The state of the edge for the admin process.

    Args:
        generation: the number of changes of the configuration.
        workers: the configured number of workers.
        draining: whether a signal has begun a drain.
        drains: the drains that all workers follow.
        reloads: the outcomes of reloads.
        restarts: the number of workers that died with a slot.
        discovery_restarts: the number of discovery processes that died.
        tls_restarts: the number of tls processes that died while they served.
        tls_processes: the tls processes.
        tls_profiles: the profiles in use: "client/NAME" or "pod/NAME".
    """

    generation: int = 0
    workers: int = 0
    draining: bool = False
    drains: OperatorDrains = field(default_factory=OperatorDrains)
    reloads: Reloads = field(default_factory=Reloads)
    restarts: int = 0
    discovery_restarts: int = 0
    tls_restarts: int = 0
    tls_processes: tuple[TlsProcessFacts, ...] = ()
    tls_profiles: tuple[str, ...] = ()


class Reading(Message):
    """The output of the child that reads the file for the supervisor; the child ends after it."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


@message("summary", since=1)
class ConfigSummary(Reading):
    """The facts of a configuration that the supervisor needs.

    Args:
        text: the text of the file.
        read: the signature of the file (`configfile.signature`); None: the file is gone by now.
        listeners: the addresses of each of `LISTENERS`.
        workers: the number of workers.
        drain: seconds that a drain may take.
        format: the format of log lines.
        warnings: things that its author probably did not mean.
        changes: the differences from the configuration in force.
        needs_restart: changed keys that take effect only at an upgrade.
        rules: what workers must know of an address of `listen` ("host:port") beside the address, if anything.
        traces: whether spans are sent to a collector, by the admin process.
        discovery: whether the discovery process is needed.
        tls: the profiles of TLS.
        more: fields of a newer program: the summary of its preflight goes through an older supervisor to it.
    """

    text: str
    read: tuple[int, ...] | None
    listeners: Mapping[str, tuple[Address, ...]]
    workers: int
    drain: float
    format: str
    warnings: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    rules: Mapping[str, str] = field(default_factory=dict)
    traces: bool = False
    discovery: bool = False
    tls: TlsSettings = field(default_factory=TlsSettings)
    more: Mapping[str, object] = rest()


@message("faults", since=1)
class Faults(Reading):
    """The faults of a file that can't be used.

    Args:
        faults: one line each.
        read: the signature of the file; None: there is no file; empty: unknown.
    """

    faults: tuple[str, ...]
    read: tuple[int, ...] | None = ()
