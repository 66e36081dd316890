"""What workers tell the discovery process of endpoints: one way, in batches, and never waited for.

A report is a message with `rows`, of one kind each. It is made by `worker.reports` and heard by `discovery.reports`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from splicer.ipc.message import Message

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class EndpointReport(Message, Generic[R]):
    """From a worker to the discovery process.

    Args:
        rows: what there is to say, the oldest first.
    """

    KINDS: ClassVar[dict[str, type[Message]]] = {}

    rows: tuple[R, ...]
