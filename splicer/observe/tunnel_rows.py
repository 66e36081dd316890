"""The live tunnels of a worker as rows for the admin process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import trio

from splicer.ipc.wire import Message
from splicer.model import Quality, Record
from splicer.net.tcpinfo import quality
from splicer.relay.api import LiveTunnels, TunnelView

_ROWS = 16  # tunnels in a batch
_SLICE = 256  # tunnels counted before other tasks run
_GROUPS = 16  # (route, pod) pairs in a row, which must fit into a packet (ipc.wire)
_MAX_CHARACTERS = 256  # of one text


def tunnels(relay: LiveTunnels[Record], slot: int) -> Iterator[list[Message]]:
    """A row for each tunnel, in batches.

    Args:
        relay: the worker's relay.
        slot: the worker's slot.
    """
    live = relay.views()
    for start in range(0, len(live), _ROWS):
        now = trio.current_time()
        yield [_row(one, slot, now) for one in live[start : start + _ROWS] if one.alive]


def counts(relay: LiveTunnels[Record], slot: int) -> Iterator[list[Message]]:
    """The number of tunnels by route and pod, and the bytes moved, over several rows; [] lets other tasks run."""
    live = relay.views()
    groups: dict[tuple[str, str], int] = defaultdict(int)
    to_pod = to_client = 0
    for start in range(0, len(live), _SLICE):
        for one in live[start : start + _SLICE]:
            if one.alive:
                groups[one.owner.route or "", _pod(one.owner)] += 1
                to_pod += one.to_pod
                to_client += one.to_client
        yield []
    rows = [[*group, count] for group, count in groups.items()]
    yield [{"tunnels": [], "to_pod": to_pod, "to_client": to_client, "slot": slot}]
    for start in range(0, len(rows), _GROUPS):
        yield [{"tunnels": rows[start : start + _GROUPS], "to_pod": 0, "to_client": 0, "slot": slot}]


def find(relay: LiveTunnels[Record], id: str) -> TunnelView[Record] | None:  # noqa: A002 - the name used everywhere
    """The live tunnel with this id."""
    return next((one for one in relay.views() if one.owner.id == id), None)


def line(quality: Quality | None, side: str) -> Message:
    """The network quality of a connection to a peer, as fields of a log line or a row."""
    return {
        f"{side}_rtt_ms": None if quality is None else round(quality.rtt * 1000, 3),
        f"{side}_retransmits": None if quality is None else quality.retransmits,
    }


def _row(one: TunnelView[Record], slot: int, now: float) -> Message:
    record = one.owner
    client, pod = one.sockets
    row = {
        "id": record.id,
        "route": record.route,
        "pod": _pod(record),
        "upstream": record.upstream,
        "endpoint": None if record.endpoint is None else str(record.endpoint),
        "client": record.client,
        "path": record.path or "",
        "protocol": record.protocol,
        "age_s": round(now - record.started, 3),
        "idle_s": round(one.idle(now), 3),
        "bytes_to_pod": one.to_pod,
        "bytes_to_client": one.to_client,
        "worker": slot,
        "adopted": record.adopted,
        **line(quality(client), "client"),
        **line(quality(pod), "pod"),
    }
    return {key: _shown(value) for key, value in row.items()}


def _shown(value: Any) -> Any:
    return value[:_MAX_CHARACTERS] + "…" if isinstance(value, str) and len(value) > _MAX_CHARACTERS else value


def _pod(record: Record) -> str:
    return record.endpoint.pod if record.endpoint is not None else ""
