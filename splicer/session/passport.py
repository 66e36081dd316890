"""A tunnel's passport: the data from which another worker can take it over. It is opaque to the vault.

A missing key takes its default, since an older version may not have written it (`vault.protocol.VERSION`).
"""

from __future__ import annotations

import marshal
import socket
import struct
import time
from typing import Any

import trio
from attrs import frozen

from splicer.arrival import Arrival
from splicer.authorization import AuthorizeOutcome
from splicer.errors import Side
from splicer.model import Endpoint
from splicer.net.options import USER_TIMEOUT_MS
from splicer.record import AttemptOutcome, Record
from splicer.relay.api import ResumeState, TunnelLimits
from splicer.trace import RequestTrace

_FORMAT = 4  # of marshal: every Python since 3.4 reads it; writing takes an eighth of the time of JSON
_MAX_CHARACTERS = 1024  # characters of a text from outside; a log line has no more
_MOST_ATTEMPTS = 4
_TCP_INFO_BYTES = 216
# Of struct tcp_info in <linux/tcp.h> (Linux 4.19): state; last_data_sent, last_data_recv and last_ack_recv in ms;
# notsent_bytes, bytes_sent, bytes_retrans.
_TCP_INFO_FIELDS = struct.Struct("=B43xI4xII84xI52xQQ")
_ESTABLISHED, _CLOSED = 1, 7
_SHUT = frozenset({4, 5})  # FIN_WAIT1, FIN_WAIT2: we have sent an end of stream, and the peer has not
_FIN_QUEUED = frozenset({4, 9, 11})  # FIN_WAIT1, LAST_ACK, CLOSING


@frozen
class Leg:
    """The kernel's data on a connection (TCP_INFO).

    Args:
        state: the TCP state.
        taken: bytes that were written to it, as the kernel counts them.
        silent: seconds since data was sent or received.
        heard: seconds since anything was received, also an acknowledgement.
    """

    state: int
    taken: int
    silent: float
    heard: float


@frozen
class Passport:
    """A tunnel's history.

    Args:
        record: its values for the log.
        limits: its deadlines.
        head: bytes of the 101, which are not counted.
        opened: when the client got the 101, on the machine's monotonic clock, in seconds.
        client: bytes that were written to the client's socket before the tunnel.
        pod: the same of the pod's.
        crashes: the number of workers that have crashed with it.
    """

    record: Record
    limits: TunnelLimits
    head: int
    opened: float
    client: int
    pod: int
    crashes: int = 0

    def past(self, client: socket.socket, pod: socket.socket, pipes: dict[int, int]) -> ResumeState:
        """The tunnel's present state, according to its sockets.

        A leg that is closed in both directions although its peer has sent no end of stream was reset, and the worker
        that got the error is dead. If we have sent an end of stream to a leg, the other leg's end of stream had
        arrived about when this leg last acknowledged something.
        """
        one, other = look(client), look(pod)
        broken = None
        if one.state == _CLOSED and other.state == _ESTABLISHED:
            broken = Side.CLIENT
        elif other.state == _CLOSED and one.state == _ESTABLISHED:
            broken = Side.POD
        silent, closer = min(one.silent, other.silent), None
        if other.state in _SHUT and one.state not in _SHUT:
            silent, closer = min(silent, other.heard), Side.CLIENT
        elif one.state in _SHUT and other.state not in _SHUT:
            silent, closer = min(silent, one.heard), Side.POD
        return ResumeState(
            pipes=(pipes.get(0), pipes.get(1)),
            to_pod=max(0, other.taken - self.pod),
            to_client=max(0, one.taken - self.client) - self.head,
            silent=silent,
            age=max(0.0, time.monotonic() - self.opened),
            broken=broken,
            closer=closer,
            patience=USER_TIMEOUT_MS,
        )


def look(sock: socket.socket) -> Leg:
    """Ask the kernel about a connection (TCP_INFO, tcp(7)). A SYN or FIN is no byte."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    state, sent, received, heard, unsent, transmitted, again = _TCP_INFO_FIELDS.unpack(info)
    if unsent and state in _FIN_QUEUED:
        unsent -= 1
    return Leg(state, transmitted - again + unsent, min(sent, received) / 1000, heard / 1000)


def write(record: Record, limits: TunnelLimits, head: int, client: socket.socket, pod: socket.socket) -> bytes:
    """The passport of a tunnel that is about to be opened."""
    endpoint, attempts = record.endpoint, record.attempts[-_MOST_ATTEMPTS:]
    now = time.monotonic()
    fields: dict[str, Any] = {
        "id": record.id,
        "client": _cut(record.client),
        "started": now - (trio.current_time() - record.started),
        "method": record.method,
        "path": _cut(record.path),
        "query": _cut(record.query),
        "host": _cut(record.host),
        "route": record.route,
        "request_id": _cut(record.request_id),
        "upstream": record.upstream,
        "target": _cut(record.target),
        "endpoint": None if endpoint is None else (endpoint.pod, endpoint.address, endpoint.port),
        "protocol": _cut(record.protocol),
        "logged": record.logged,
        "attempts": [
            (attempt.upstream, attempt.endpoint, attempt.failure, _cut(attempt.detail), attempt.pod)
            for attempt in attempts
        ],
        "times": [
            (attempt.started - record.started, attempt.resolve, attempt.connect, attempt.handshake)
            for attempt in attempts
        ],
        "limits": (limits.idle, limits.half_closed, limits.lifetime),
        "head": head,
        "opened": now,
        "taken": (look(client).taken, look(pod).taken),
    }
    if (trace := record.trace) is not None:
        fields["trace"] = trace.trace_id, trace.span_id, trace.sampled
    if record.headers:
        fields["headers"] = record.headers
    if (arrival := record.arrival) is not None:
        fields["arrival"] = arrival.via, arrival.port, arrival.secure, arrival.facts, arrival.local
    if record.hook_fields:
        fields["hooks"] = record.hook_fields
    if (asked := record.authorize) is not None:
        fields["authorize"] = asked.endpoint, asked.status, asked.failure, _cut(asked.detail), asked.seconds
    return marshal.dumps(fields, _FORMAT)


def read(data: bytes, adoptions: int, crashes: int = 0) -> Passport:
    """A passport that another worker wrote.

    Raises:
        ValueError: the data is not a passport.
    """
    try:
        return _passport(marshal.loads(data), adoptions, crashes)  # noqa: S302 - from a worker of ours, by our vault
    except (AttributeError, EOFError, KeyError, TypeError) as error:
        raise ValueError(f"no passport: {error!r}") from error


def _passport(fields: dict[str, Any], adoptions: int, crashes: int) -> Passport:
    endpoint = fields.get("endpoint")
    started = trio.current_time() - (time.monotonic() - fields["started"])
    record = Record(
        id=fields["id"],
        client=fields["client"],
        started=started,
        method=fields.get("method"),
        path=fields.get("path"),
        query=fields.get("query"),
        host=fields.get("host"),
        route=fields.get("route"),
        request_id=fields.get("request_id"),
        upstream=fields.get("upstream"),
        target=fields.get("target"),
        endpoint=None if endpoint is None else Endpoint(*endpoint),
        protocol=fields.get("protocol"),
        logged=fields.get("logged", True),
        status=101,
        attempts=_attempts(fields, started),
        adopted=adoptions,
        headers=tuple((field, value) for field, value in fields.get("headers", ())),
        hook_fields=tuple((field, value) for field, value in fields.get("hooks", ())),
    )
    if (arrival := fields.get("arrival")) is not None:
        record.arrival = Arrival(*arrival)
    if (asked := fields.get("authorize")) is not None:
        record.authorize = AuthorizeOutcome(*asked)
    if (trace := fields.get("trace")) is not None:
        trace_id, span_id, sampled = trace
        opened = trio.current_time() - (time.monotonic() - fields["opened"])
        record.trace = RequestTrace(trace_id, span_id, sampled, opened=opened)
    client, pod = fields["taken"]
    return Passport(record, TunnelLimits(*fields["limits"]), fields["head"], fields["opened"], client, pod, crashes)


def _attempts(fields: dict[str, Any], started: float) -> list[AttemptOutcome]:
    attempts = [AttemptOutcome(*attempt) for attempt in fields.get("attempts", ())]
    for attempt, (later, *parts) in zip(attempts, fields.get("times", ()), strict=False):
        attempt.started = started + later
        attempt.resolve, attempt.connect, attempt.handshake = parts
    return attempts


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS]
