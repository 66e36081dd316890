"""The live tunnels of a worker as rows for the admin process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import trio

from splicer.ipc.queries import AskTunnels, CountRow, PlaceRow, TunnelRow
from splicer.observe.between_frames import between_frames
from splicer.observe.line_quality import line_qualities
from splicer.observe.tunnel_choice import TunnelRates, first_tunnels
from splicer.quality import Quality
from splicer.record import Record
from splicer.relay.api import LiveTunnels, TunnelView

_ROWS = 2  # tunnels in a batch: frames wait while it is encoded
_SLICE = 256  # tunnels counted before other tasks run …
_FEW = 32  # … and before frames are moved
_GROUPS = 16  # (route, pod) pairs in a row, which must fit into a packet (ipc.wire)
_PLACES = 64  # ways in a batch
_MAX_CHARACTERS = 256  # of one text


def tunnels(relay: LiveTunnels[Record], slot: int, wanted: AskTunnels, rates: TunnelRates) -> Iterator[list[TunnelRow]]:
    """A row for each tunnel that is wanted, in batches; [] lets other tasks run.

    Args:
        relay: the worker's relay.
        slot: the worker's slot.
        wanted: which tunnels.
        rates: the rates of this relay's tunnels.
    """
    live = (yield from first_tunnels(relay, wanted, rates)) if wanted.most else relay.views()
    for start in range(0, len(live), _ROWS):
        now = trio.current_time()
        yield [_row(one, slot, now, rates) for one in between_frames(relay, live[start : start + _ROWS], 1)]


def places(relay: LiveTunnels[Record]) -> Iterator[list[PlaceRow]]:
    """The number of tunnels by their way, in batches; [] lets other tasks run."""
    live = relay.views()
    groups: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for start in range(0, len(live), _SLICE):
        for one in between_frames(relay, live[start : start + _SLICE], _FEW):
            owner = one.owner
            endpoint = "" if owner.endpoint is None else str(owner.endpoint)
            groups[owner.route or "", _pod(owner), owner.upstream or "", endpoint] += 1
        yield []
    rows = [
        PlaceRow(_shown(route), _shown(pod), _shown(upstream), endpoint, count)
        for (route, pod, upstream, endpoint), count in groups.items()
    ]
    for start in range(0, len(rows), _PLACES):
        yield rows[start : start + _PLACES]


def counts(relay: LiveTunnels[Record], slot: int) -> Iterator[list[CountRow]]:
    """The number of tunnels by route and pod, and the bytes moved, over several rows; [] lets other tasks run."""
    live = relay.views()
    groups: dict[tuple[str, str], int] = defaultdict(int)
    to_pod = to_client = 0
    for start in range(0, len(live), _SLICE):
        for one in between_frames(relay, live[start : start + _SLICE], _FEW):
            groups[one.owner.route or "", _pod(one.owner)] += 1
            to_pod += one.to_pod
            to_client += one.to_client
        yield []
    rows = [(*group, count) for group, count in groups.items()]
    yield [CountRow((), to_pod, to_client, slot)]
    for start in range(0, len(rows), _GROUPS):
        yield [CountRow(tuple(rows[start : start + _GROUPS]), 0, 0, slot)]


def find(relay: LiveTunnels[Record], id: str) -> TunnelView[Record] | None:  # noqa: A002 - the name used everywhere
    """The live tunnel with this id."""
    return next((one for one in relay.views() if one.owner.id == id), None)


def _line(quality: Quality | None) -> tuple[float | None, int | None]:
    return (None, None) if quality is None else (round(quality.rtt * 1000, 3), quality.retransmits)


def _row(one: TunnelView[Record], slot: int, now: float, rates: TunnelRates) -> TunnelRow:
    record = one.owner
    client, pod = line_qualities(one)
    client_rtt, client_retransmits = _line(client)
    pod_rtt, pod_retransmits = _line(pod)
    return TunnelRow(
        id=_shown(record.id),
        route=record.route and _shown(record.route),
        pod=_shown(_pod(record)),
        upstream=record.upstream and _shown(record.upstream),
        endpoint=None if record.endpoint is None else _shown(str(record.endpoint)),
        client=_shown(record.client),
        path=_shown(record.path or ""),
        protocol=record.protocol and _shown(record.protocol),
        age_s=round(now - record.started, 3),
        idle_s=round(one.idle(now), 3),
        bytes_to_pod=one.to_pod,
        bytes_to_client=one.to_client,
        worker=slot,
        adopted=record.adopted,
        client_rtt_ms=client_rtt,
        client_retransmits=client_retransmits,
        pod_rtt_ms=pod_rtt,
        pod_retransmits=pod_retransmits,
        via=None if record.arrival is None else record.arrival.via,
        host=record.host and _shown(record.host),
        rate=rates.of(one),
    )


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "…"


def _pod(record: Record) -> str:
    return record.endpoint.pod if record.endpoint is not None else ""
