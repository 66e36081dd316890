"""The admin process's questions to workers, and the rows of the answers.

An answer is sent in several packets; the last one has no rows, and `more` is False.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from splicer.ipc.message import Answer, Message, Request, message

R = TypeVar("R")

SORTS = ("age", "idle", "rate", "rtt", "retransmits")  # orders of tunnels, the largest first


@dataclass(frozen=True, slots=True)
class Row:
    """The base of all rows."""


@dataclass(frozen=True, slots=True)
class Rows(Answer, Generic[R]):
    """From a worker to the admin process: a part of an answer.

    Args:
        more: whether other parts follow.
        rows: the rows of this part.
    """

    KINDS: ClassVar[dict[str, type[Message]]] = {}

    more: bool
    rows: tuple[R, ...]


@dataclass(frozen=True, slots=True)
class Question(Request, Generic[R]):
    """From the admin process to a worker."""

    KINDS: ClassVar[dict[str, type[Message]]] = {}
    ANSWER: ClassVar[type[Rows]]  # type: ignore[type-arg]  # of R, which a class variable can't say


# ---- rows ----


@dataclass(frozen=True, slots=True)
class TunnelRow(Row):
    """A live tunnel.

    Args:
        id: the id of its handshake, as in the log.
        route: the route's name; None: unknown.
        pod: the pod's name; "": unknown.
        upstream: the upstream's name.
        endpoint: address and port.
        client: the client's numeric address.
        path: the path of the handshake.
        protocol: the protocol of the upgrade.
        age_s: seconds since its handshake began.
        idle_s: seconds since the last byte.
        bytes_to_pod: bytes moved so far.
        bytes_to_client: bytes moved so far.
        worker: the worker's slot.
        adopted: the number of times that it has changed its worker.
        client_rtt_ms: round-trip time to the client, in milliseconds; None: unknown.
        client_retransmits: segments sent again to the client.
        pod_rtt_ms: round-trip time to the pod, in milliseconds; None: unknown.
        pod_retransmits: segments sent again to the pod.
        via: the numeric address of the load balancer whose PROXY header named the client, and to which the client's
            round-trip time and retransmissions are; None: there was none.
        host: the host that the client asked for.
        rate: bytes a second, both ways; None: nobody has looked before.
    """

    id: str
    route: str | None
    pod: str
    upstream: str | None
    endpoint: str | None
    client: str
    path: str
    protocol: str | None
    age_s: float
    idle_s: float
    bytes_to_pod: int
    bytes_to_client: int
    worker: int
    adopted: int
    client_rtt_ms: float | None
    client_retransmits: int | None
    pod_rtt_ms: float | None
    pod_retransmits: int | None
    via: str | None = None
    host: str | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class PlaceRow(Row):
    """How many live tunnels of a worker have the same way.

    Args:
        route: the route's name; "": unknown.
        pod: the pod's name; "": unknown.
        upstream: the upstream's name; "": unknown.
        endpoint: address and port; "": unknown.
        tunnels: their number.
    """

    route: str
    pod: str
    upstream: str
    endpoint: str
    tunnels: int


@dataclass(frozen=True, slots=True)
class CountRow(Row):
    """A part of a worker's sums over its live tunnels.

    Args:
        tunnels: route, pod, and number of tunnels.
        to_pod: bytes moved.
        to_client: bytes moved.
        slot: the worker's slot.
    """

    tunnels: tuple[tuple[str, str, int], ...]
    to_pod: int
    to_client: int
    slot: int


@dataclass(frozen=True, slots=True)
class EndpointRow(Row):
    """The state of an endpoint in one worker.

    Args:
        upstream: the upstream's name.
        pod: the name that led to the endpoint.
        address: its numeric address.
        port: its TCP port.
        source: the source of the address: "dns", "hosts" or "literal".
        tunnels: the number of tunnels and handshakes of this worker.
        state: "up", "down" or "unknown".
        failure: the failure of the last attempt; None: it succeeded.
        since_s: seconds since the state began; None: there was no attempt.
        requests: the number of plain requests of this worker.
    """

    upstream: str
    pod: str
    address: str
    port: int
    source: str
    tunnels: int
    state: str
    failure: str | None
    since_s: float | None
    requests: int = 0


@dataclass(frozen=True, slots=True)
class ClosedRow(Row):
    """The tunnel of this id is being closed."""

    closed: str


# ---- answers ----


@message("tunnel_rows", since=1)
class TunnelRows(Rows[TunnelRow]):
    """The answer to `AskTunnels`."""

    rows: tuple[TunnelRow, ...]


@message("count_rows", since=1)
class CountRows(Rows[CountRow]):
    """The answer to `AskCounts`."""

    rows: tuple[CountRow, ...]


@message("place_rows", since=1)
class PlaceRows(Rows[PlaceRow]):
    """The answer to `AskPlaces`."""

    rows: tuple[PlaceRow, ...]


@message("endpoint_rows", since=1)
class EndpointRows(Rows[EndpointRow]):
    """The answer to `AskEndpoints`."""

    rows: tuple[EndpointRow, ...]


@message("closed_rows", since=1)
class ClosedRows(Rows[ClosedRow]):
    """The answer to `CloseTunnel`: one row, or none if the worker doesn't have the tunnel."""

    rows: tuple[ClosedRow, ...]


@message("unknown_question", since=1)
class UnknownQuestion(Rows[Row]):
    """The answer to a question of a later version: there will be no rows."""

    rows: tuple[Row, ...]


# ---- questions ----


@message("tunnels", since=1)
class AskTunnels(Question[TunnelRow]):
    """Live tunnels: all, or the first ones of those that are wanted.

    Args:
        most: at most so many; 0: all, whatever else is wanted.
        sort: which are the first: one of `SORTS`.
        route: only those of this route; None: of any.
        pod: only those of the pod with this name or address; None: of any.
    """

    ANSWER = TunnelRows

    most: int = 0
    sort: str = "age"
    route: str | None = None
    pod: str | None = None


@message("places", since=1)
class AskPlaces(Question[PlaceRow]):
    """The number of tunnels by route, pod, upstream and endpoint."""

    ANSWER = PlaceRows


@message("counts", since=1)
class AskCounts(Question[CountRow]):
    """The number of tunnels by route and pod, and the bytes that they have moved."""

    ANSWER = CountRows


@message("endpoints", since=1)
class AskEndpoints(Question[EndpointRow]):
    """All endpoints."""

    ANSWER = EndpointRows


@message("close", since=1)
class CloseTunnel(Question[ClosedRow]):
    """End a tunnel."""

    ANSWER = ClosedRows

    id: str
