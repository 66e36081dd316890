"""What workers tell the discovery process of endpoints: one way, in batches, and never waited for.

A report is a message with `rows`, of one kind each. It is made by `worker.reports` and heard by `discovery.reports`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from splicer.ipc.message import Message, message
from splicer.ipc.queries import Row

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class EndpointReport(Message, Generic[R]):
    """From a worker to the discovery process.

    Args:
        rows: what there is to say, the oldest first.
    """

    KINDS: ClassVar[dict[str, type[Message]]] = {}

    rows: tuple[R, ...]


@dataclass(frozen=True, slots=True)
class OutcomeRow(Row):
    """A request at an endpoint that counts for outlier detection.

    Args:
        upstream: the upstream through which it went; "" if it succeeded.
        address: the endpoint's numeric address.
        port: its TCP port.
        pod: its pod's name.
        reason: why it failed: an error's `reason`, or "status"; "": it succeeded.
    """

    upstream: str
    address: str
    port: int
    pod: str
    reason: str


# Errors and successes are rows of one kind, for their order decides.
@message("outcomes", since=1)
class OutcomesSeen(EndpointReport[OutcomeRow]):
    """Errors, and successes at endpoints that had errors, in their order."""

    rows: tuple[OutcomeRow, ...]


@dataclass(frozen=True, slots=True)
class UsedRow(Row):
    """A name of a pod, from a URL, that a request went to.

    Args:
        upstream: the upstream's name.
        host: its host, rendered.
        address: a numeric address of it.
        port: the TCP port.
    """

    upstream: str
    host: str
    address: str
    port: int


@message("names_used", since=1)
class NamesUsed(EndpointReport[UsedRow]):
    """Names that are in use: each is reported once a minute."""

    rows: tuple[UsedRow, ...]
