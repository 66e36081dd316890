"""All messages between the supervisor and its processes, and between two workers.

The docstring of a message says what is to be done and which descriptors go along. A request is answered by its
`ANSWER`; a process that owes one for too long is killed. `tests/ipc/test_messages.py` has a table of all names and
fields: two versions meet in an upgrade, so a field may be added (with a default) and none may be renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar

from splicer.ipc.facts import EdgeFacts, OperatorDrains
from splicer.ipc.message import Answer, Message, Request, message


class WorkerOrder(Message):
    """From the supervisor to a worker or a spare."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


class WorkerReport(Message):
    """From a worker or a spare to the supervisor."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


class AdminOrder(Message):
    """From the supervisor to the admin process."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


class AdminReport(Message):
    """From the admin process to the supervisor."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


class Legacy(Message):
    """From a worker that leaves to the one that takes its place."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


# ---- a worker reports ----


@message("imported", since=1)
class Imported(WorkerReport):
    """It runs, and has no configuration yet."""


@message("prepared", since=1)
class Prepared(WorkerReport, Answer):
    """It has the configuration: it could serve at once."""


@message("serving", since=1)
class Serving(WorkerReport, AdminReport, Answer):
    """It accepts connections. The admin process says the same."""


@message("reloaded", since=1)
class Reloaded(WorkerReport, Answer):
    """It goes by the configuration that it was sent last; or it can't, and the log says why."""


@message("draining", since=1)
class Draining(WorkerReport, Answer):
    """The drain that a signal asked for has begun."""


@message("drains_followed", since=1)
class DrainsFollowed(WorkerReport, Answer):
    """It goes by these drains of operators."""


@message("handed_over", since=1)
class HandedOver(WorkerReport):
    """All its tunnels are the vault's: it finishes its last exchanges, and ends."""


# ---- a worker is told ----


@message("prepare", since=1)
class Prepare(WorkerOrder, Request):
    """Do all that takes time before there is a slot; with a file that has the text of the configuration.

    Args:
        drains: of operators, to go by.
    """

    ANSWER = Prepared

    drains: OperatorDrains = field(default_factory=OperatorDrains)


@message("serve", since=1)
class Serve(WorkerOrder, Request):
    """Serve a slot; with the listening sockets.

    Args:
        slot: from 1 on.
        slots: how many there are.
        draining: whether a signal has begun a drain.
        listeners: how many of the sockets belong to each name, in order (`facts.LISTENERS`).
    """

    ANSWER = Serving

    slot: int
    slots: int
    draining: bool
    listeners: Mapping[str, int]


@message("reload", since=1)
class Reload(WorkerOrder, Request):
    """Go by another configuration; with a file that has its text."""

    ANSWER = Reloaded


@message("drain", since=1)
class Drain(WorkerOrder, Request):
    """Let what is under way finish, and begin nothing new."""

    ANSWER = Draining


@message("drains", since=1)
class FollowDrains(WorkerOrder, Request):
    """Go by these drains of operators, and by no others."""

    ANSWER = DrainsFollowed

    drains: OperatorDrains


@message("expire", since=1)
class Expire(WorkerOrder):
    """The drain's time is up: end all tunnels."""


@message("attend", since=1)
class Attend(WorkerOrder):
    """Answer the admin process's questions; with a channel to it (`ipc.query`)."""


@message("inherit", since=1)
class Inherit(WorkerOrder):
    """Take client connections from a worker that leaves; with a channel to it."""


@message("retire", since=1)
class Retire(WorkerOrder):
    """Another serves the slot now: hand everything over, and end; with a channel to the heir, if there is one.

    Args:
        seconds: for exchanges under way; None: as many as the worker thinks right.
        linger: seconds for the vault to take the tunnels, or for them to end; None: as long as a drain may take.
        speaks: the version of the wire that the heir speaks.
    """

    seconds: float | None = None
    linger: float | None = None
    speaks: int = 1


@message("stop", since=1)
class Stop(WorkerOrder, AdminOrder):
    """Close everything, and end. The admin process is told the same."""


# ---- the admin process ----


@message("ready", since=1)
class Ready(AdminReport):
    """It runs, and listens nowhere yet."""


@message("want_drains", since=1)
class WantDrains(AdminReport):
    """What operators want to become empty from now on. The facts show it once all workers go by it."""

    drains: OperatorDrains


@message("absent", since=1)
class Absent(AdminReport):
    """It has no channel to the workers of these slots, and asks for new ones."""

    slots: tuple[int, ...]


@message("serve", since=1)
class ServeAdmin(AdminOrder, Request):
    """Serve; with the listening sockets.

    Args:
        facts: how things stand.
        listeners: how many of the sockets belong to each name, in order (`facts.LISTENERS`).
    """

    ANSWER = Serving

    facts: EdgeFacts
    listeners: Mapping[str, int]


@message("facts", since=1)
class Facts(AdminOrder):
    """How things stand now."""

    facts: EdgeFacts


@message("config", since=1)
class Config(AdminOrder):
    """Another configuration is in force; with a file that has its text."""


@message("worker", since=1)
class IntroduceWorker(AdminOrder):
    """A worker that may be asked; with a channel to it (`ipc.query`).

    Args:
        slot: that it serves.
        pid: its own.
        speaks: the version of the wire that it speaks.
    """

    slot: int
    pid: int
    speaks: int = 1


# ---- between two workers ----


@message("connection", since=1)
class Connection(Legacy):
    """A client connection without a request; with its socket.

    Args:
        peer: the client's numeric address.
    """

    peer: str
