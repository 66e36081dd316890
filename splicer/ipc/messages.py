"""All messages between the supervisor and its processes, and between two workers.

The docstring of a message says what it means, and which descriptors are sent with it. A request is answered by its
`ANSWER`; a process that doesn't answer in time is killed. `tests/ipc/test_messages.py` has a table of all names and
fields: two versions meet in an upgrade, so a field may be added (with a default), but none may be renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar

from splicer.arrival import Arrival
from splicer.ipc.facts import EdgeFacts, OperatorDrains
from splicer.ipc.message import Answer, Message, Request, message
from splicer.tls_facts import TlsFacts


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


class DiscoveryOrder(Message):
    """From the supervisor to the discovery process."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


class DiscoveryReport(Message):
    """From the discovery process to the supervisor."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


class Legacy(Message):
    """From a worker that leaves to the next worker of its slot."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


# ---- reports of a worker ----


@message("imported", since=1)
class Imported(WorkerReport):
    """The worker runs, and has no configuration yet.

    Args:
        mover: what moves its frames, "native" or "python"; "": unknown.
    """

    mover: str = ""


@message("prepared", since=1)
class Prepared(WorkerReport, Answer):
    """The worker has the configuration and could serve at once."""


@message("serving", since=1)
class Serving(WorkerReport, AdminReport, DiscoveryReport, Answer):
    """The worker or the admin process accepts connections; the discovery process publishes what it finds."""


@message("reloaded", since=1)
class Reloaded(WorkerReport, Answer):
    """The worker uses the newest configuration; or it can't, and the log says why."""


@message("draining", since=1)
class Draining(WorkerReport, Answer):
    """The worker has begun the drain that a signal asked for."""


@message("drains_followed", since=1)
class DrainsFollowed(WorkerReport, Answer):
    """The worker follows these drains of operators."""


@message("handed_over", since=1)
class HandedOver(WorkerReport):
    """The vault has all tunnels of the worker, which finishes its last exchanges and ends."""


@message("unknown", since=1)
class Unknown(WorkerReport, AdminReport, DiscoveryReport):
    """The process doesn't know the kind of this request, which a newer supervisor has sent.

    Args:
        request: the request's number.
    """

    request: int


# ---- commands to a worker ----


@message("prepare", since=1)
class Prepare(WorkerOrder, Request):
    """Do the slow steps before there is a slot; comes with a file with the text of the configuration.

    Args:
        drains: the drains of operators to follow.
    """

    ANSWER = Prepared

    drains: OperatorDrains = field(default_factory=OperatorDrains)


@message("serve", since=1)
class Serve(WorkerOrder, Request):
    """Serve a slot; comes with the listening sockets.

    Args:
        slot: its number, from 1.
        slots: the number of slots.
        draining: whether a signal has begun a drain.
        listeners: the number of sockets for each name, in order (`facts.LISTENERS`).
        rules: what holds at each socket named "listen" (`config.listener.to_text`); "": nothing beside its address.
    """

    ANSWER = Serving

    slot: int
    slots: int
    draining: bool
    listeners: Mapping[str, int]
    rules: tuple[str, ...] = ()


@message("reload", since=1)
class Reload(WorkerOrder, Request):
    """Use another configuration; comes with a file with its text."""

    ANSWER = Reloaded


@message("drain", since=1)
class Drain(WorkerOrder, Request):
    """Finish exchanges and calls, and begin no new ones."""

    ANSWER = Draining


@message("drains", since=1)
class FollowDrains(WorkerOrder, Request):
    """Follow these drains of operators, and no others."""

    ANSWER = DrainsFollowed

    drains: OperatorDrains


@message("expire", since=1)
class Expire(WorkerOrder):
    """End all tunnels: the drain's deadline is over."""


@message("attend", since=1)
class Attend(WorkerOrder):
    """Answer the admin process's questions; comes with a channel to it (`ipc.query`)."""


@message("trace_to", since=1)
class TraceTo(WorkerOrder):
    """Tell the admin process of sampled requests and calls; comes with a channel to it (`otlp.facts`)."""


@message("report", since=1)
class Report(WorkerOrder):
    """Tell the discovery process what happens at endpoints; comes with a channel to it (`ipc.endpoint_reports`)."""


@message("inherit", since=1)
class Inherit(WorkerOrder):
    """Take client connections from a worker that leaves; comes with a channel to it."""


@message("retire", since=1)
class Retire(WorkerOrder):
    """Hand everything over and end: another worker serves the slot. Comes with a channel to the heir, if there is one.

    Args:
        seconds: the time for exchanges in flight; None: the worker's default.
        linger: seconds for the vault to take the tunnels, or for them to end; None: as long as a drain may take.
        speaks: the heir's version of the wire.
    """

    seconds: float | None = None
    linger: float | None = None
    speaks: int = 1


@message("stop", since=1)
class Stop(WorkerOrder, AdminOrder, DiscoveryOrder):
    """Close everything and end."""


# ---- the admin process and the discovery process ----


@message("ready", since=1)
class Ready(AdminReport, DiscoveryReport):
    """The process runs, and does nothing yet."""


@message("want_drains", since=1)
class WantDrains(AdminReport):
    """The operators' drains from now on. The facts show them when all workers follow them."""

    drains: OperatorDrains


@message("absent", since=1)
class Absent(AdminReport, DiscoveryReport):
    """The process has no channel to the workers of these slots, and asks for new ones."""

    slots: tuple[int, ...]


@message("serve", since=1)
class ServeAdmin(AdminOrder, Request):
    """Serve; comes with the listening sockets.

    Args:
        facts: the state of the edge.
        listeners: the number of sockets for each name, in order (`facts.LISTENERS`).
    """

    ANSWER = Serving

    facts: EdgeFacts
    listeners: Mapping[str, int]


@message("facts", since=1)
class Facts(AdminOrder):
    """The current state of the edge."""

    facts: EdgeFacts


@message("config", since=1)
class Config(AdminOrder, DiscoveryOrder):
    """Another configuration is in force; comes with a file with its text."""


@message("worker", since=1)
class IntroduceWorker(AdminOrder, DiscoveryOrder):
    """A worker; comes with a channel to it: the admin process asks it (`ipc.query`), the discovery process listens.

    Args:
        slot: its slot.
        pid: its process id.
        speaks: its version of the wire.
        mover: what moves its frames; "": unknown.
    """

    slot: int
    pid: int
    speaks: int = 1
    mover: str = ""


@message("hear_spans", since=1)
class HearSpans(AdminOrder):
    """A worker will tell of sampled requests and calls; comes with a channel to it (`otlp.facts`).

    Args:
        slot: its slot.
    """

    slot: int


@message("discover", since=1)
class Discover(DiscoveryOrder, Request):
    """Find endpoints and publish them."""

    ANSWER = Serving


# ---- between two workers ----


@message("connection", since=1)
class Connection(Legacy):
    """A client connection between two requests; comes with its socket.

    Args:
        peer: the client's numeric address; while `awaited`, that of who connected.
        arrival: how it came, if it is not the client's own.
        awaited: where it was accepted ("host:port", as the file has it), if its PROXY header has not come yet.
        tls: the facts of its TLS connection, if the socket is the plain end of one.
    """

    peer: str
    arrival: Arrival | None = None
    awaited: str = ""
    tls: TlsFacts | None = None
