"""What processes tell each other of the edge: parts of messages."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import ClassVar

from splicer.ipc.codec import rest
from splicer.ipc.message import Message, message

Address = tuple[str, int]

# The listeners of an edge: the key of [server] that names their addresses, and the process that accepts there. One more
# is a line here; whoever accepts gets its sockets under this name.
LISTENERS = {"listen": "worker", "admin": "admin", "metrics": "admin"}


def by_listener(fds: Iterable[int], counts: Mapping[str, int]) -> dict[str, list[int]]:
    """Descriptors of sockets by the name of their listener.

    Args:
        fds: all of them, in order.
        counts: how many belong to each name.
    """
    rest_of = iter(fds)
    return {name: list(islice(rest_of, count)) for name, count in counts.items()}


@dataclass(frozen=True, slots=True)
class OperatorDrains:
    """What operators want to become empty, and since when (seconds since the epoch).

    Args:
        all: the whole edge; None: it isn't.
        pods: by name.
        routes: by name.
    """

    all: float | None = None
    pods: Mapping[str, float] = field(default_factory=dict)
    routes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reloads:
    """How reloads went.

    Args:
        ok: how many succeeded.
        failed: how many did not.
        last_ok: whether the last one did.
        last_at: when that was, in seconds since the epoch; None: it is not known.
    """

    ok: int = 0
    failed: int = 0
    last_ok: bool = True
    last_at: float | None = None

    def after(self, *, ok: bool) -> Reloads:
        """With another one, which ends now."""
        return replace(self, ok=self.ok + ok, failed=self.failed + (not ok), last_ok=ok, last_at=time.time())


@dataclass(frozen=True, slots=True)
class EdgeFacts:
    """How things stand, as the admin process shows it.

    Args:
        generation: how often the configuration has changed.
        workers: how many there should be.
        draining: whether a signal has begun a drain.
        drains: those that all workers go by.
        reloads: how reloads went.
        restarts: workers that died with a slot.
    """

    generation: int = 0
    workers: int = 0
    draining: bool = False
    drains: OperatorDrains = field(default_factory=OperatorDrains)
    reloads: Reloads = field(default_factory=Reloads)
    restarts: int = 0


class Reading(Message):
    """What a child that has read the file prints for the supervisor, which ends with it."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


@message("summary", since=1)
class ConfigSummary(Reading):
    """All that the supervisor needs to know of a configuration.

    Args:
        text: of the file.
        read: which file it was (`configfile.signature`); None: it is gone by now.
        listeners: the addresses of each of `LISTENERS`.
        workers: how many there are to be.
        drain: seconds that a drain may take.
        format: of log lines.
        warnings: what its writer hardly meant.
        changes: what differs from the configuration in force.
        needs_restart: changed keys that stay as they are until an upgrade.
        more: what a newer program says besides: its preflight's summary goes to it through an older supervisor.
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
    more: Mapping[str, object] = rest()


@message("faults", since=1)
class Faults(Reading):
    """Why a file can't be used.

    Args:
        faults: one line each.
        read: which file it was; None: there is none; empty: it is not known.
    """

    faults: tuple[str, ...]
    read: tuple[int, ...] | None = ()
