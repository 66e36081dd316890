"""The live tunnels of a worker as rows for the admin process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import trio

from splicer.ipc.wire import Message
from splicer.model import Quality, Record
from splicer.net.tcpinfo import quality
from splicer.relay.hub import Hub
from splicer.relay.tunnel import Tunnel

_ROWS = 16  # tunnels in a batch
_SLICE = 256  # tunnels counted before other tasks run
_GROUPS = 16  # (route, pod) pairs in a row, which must fit into a packet (ipc.wire)
_MAX_CHARACTERS = 256  # of one text


def tunnels(hub: Hub, slot: int) -> Iterator[list[Message]]:
    """A row for each tunnel, in batches.

    Args:
        hub: the worker's hub.
        slot: the worker's slot.
    """
    live = hub.live
    for start in range(0, len(live), _ROWS):
        now = trio.current_time()
        yield [_row(one, slot, now) for one in live[start : start + _ROWS] if one.result is None]


def counts(hub: Hub, slot: int) -> Iterator[list[Message]]:
    """The number of tunnels by route and pod, and the bytes moved, over several rows; [] lets other tasks run."""
    live = hub.live
    groups: dict[tuple[str, str], int] = defaultdict(int)
    to_pod = to_client = 0
    for start in range(0, len(live), _SLICE):
        for one in live[start : start + _SLICE]:
            if one.result is None and isinstance(one.owner, Record):
                groups[one.owner.route or "", _pod(one.owner)] += 1
                to_pod += one.client.total
                to_client += max(0, one.pod.total)
        yield []
    rows = [[*group, count] for group, count in groups.items()]
    yield [{"tunnels": [], "to_pod": to_pod, "to_client": to_client, "slot": slot}]
    for start in range(0, len(rows), _GROUPS):
        yield [{"tunnels": rows[start : start + _GROUPS], "to_pod": 0, "to_client": 0, "slot": slot}]


def find(hub: Hub, id: str) -> Tunnel | None:  # noqa: A002 - the name used everywhere
    """The live tunnel with this id."""
    return next((one for one in hub.live if isinstance(one.owner, Record) and one.owner.id == id), None)


def line(quality: Quality | None, side: str) -> Message:
    """The network quality of a connection to a peer, as fields of a log line or a row."""
    return {
        f"{side}_rtt_ms": None if quality is None else round(quality.rtt * 1000, 3),
        f"{side}_retransmits": None if quality is None else quality.retransmits,
    }


def _row(one: Tunnel, slot: int, now: float) -> Message:
    record = one.owner
    assert isinstance(record, Record)  # noqa: S101 - the session gives each tunnel its record
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
        "idle_s": round(max(0.0, now - one.last), 3),
        "bytes_to_pod": one.client.total,
        "bytes_to_client": max(0, one.pod.total),
        "worker": slot,
        "adopted": record.adopted,
        **line(quality(one.client.sock), "client"),
        **line(quality(one.pod.sock), "pod"),
    }
    return {key: _shown(value) for key, value in row.items()}


def _shown(value: Any) -> Any:
    return value[:_MAX_CHARACTERS] + "…" if isinstance(value, str) and len(value) > _MAX_CHARACTERS else value


def _pod(record: Record) -> str:
    return record.endpoint.pod if record.endpoint is not None else ""
