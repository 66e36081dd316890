"""What the admin process asks workers, and the rows that they answer with.

An answer goes in several packets, of which the last one has no rows and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from splicer.ipc.message import Answer, Message, Request, message

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Row:
    """One of an answer."""


@dataclass(frozen=True, slots=True)
class Rows(Answer, Generic[R]):
    """From a worker to the admin process: a part of an answer.

    Args:
        more: whether this is not its end.
        rows: of this part.
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
        id: of its handshake, as in the log.
        route: None: it is not known.
        pod: "": it is not known.
        upstream: by name.
        endpoint: address and port.
        client: the peer's numeric address.
        path: of the handshake.
        protocol: of the upgrade.
        age_s: seconds since its handshake began.
        idle_s: seconds without a byte.
        bytes_to_pod: moved so far.
        bytes_to_client: moved so far.
        worker: the slot.
        adopted: how often it has changed its worker.
        client_rtt_ms: of the line to the client, in milliseconds; None: it is not known.
        client_retransmits: segments that were sent again to the client.
        pod_rtt_ms: of the line to the pod, in milliseconds; None: it is not known.
        pod_retransmits: segments that were sent again to the pod.
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


@dataclass(frozen=True, slots=True)
class CountRow(Row):
    """A part of a worker's sums over its live tunnels.

    Args:
        tunnels: route, pod, and how many.
        to_pod: bytes.
        to_client: bytes.
        slot: of the worker.
    """

    tunnels: tuple[tuple[str, str, int], ...]
    to_pod: int
    to_client: int
    slot: int


@dataclass(frozen=True, slots=True)
class EndpointRow(Row):
    """What a worker knows of an endpoint.

    Args:
        upstream: by name.
        pod: the name that led to it.
        address: numeric.
        port: of it.
        source: of the address: "dns", "hosts" or "literal".
        tunnels: tunnels and attempts of this worker.
        state: "up", "down" or "unknown".
        failure: of the last attempt; None: it did not fail.
        since_s: seconds since the state has been this; None: nobody has tried.
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


@dataclass(frozen=True, slots=True)
class ClosedRow(Row):
    """The tunnel of this id is being closed."""

    closed: str


# ---- answers ----


@message("tunnel_rows", since=1)
class TunnelRows(Rows[TunnelRow]):
    """To `AskTunnels`."""

    rows: tuple[TunnelRow, ...]


@message("count_rows", since=1)
class CountRows(Rows[CountRow]):
    """To `AskCounts`."""

    rows: tuple[CountRow, ...]


@message("endpoint_rows", since=1)
class EndpointRows(Rows[EndpointRow]):
    """To `AskEndpoints`."""

    rows: tuple[EndpointRow, ...]


@message("closed_rows", since=1)
class ClosedRows(Rows[ClosedRow]):
    """To `CloseTunnel`: one row, or none if the worker doesn't have it."""

    rows: tuple[ClosedRow, ...]


@message("unknown_question", since=1)
class UnknownQuestion(Rows[Row]):
    """To a question that came into a later version: there will be no rows."""

    rows: tuple[Row, ...]


# ---- questions ----


@message("tunnels", since=1)
class AskTunnels(Question[TunnelRow]):
    """All live tunnels."""

    ANSWER = TunnelRows


@message("counts", since=1)
class AskCounts(Question[CountRow]):
    """How many tunnels there are by route and pod, and what they have moved."""

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
