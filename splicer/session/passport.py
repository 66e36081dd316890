"""A tunnel's passport: the data from which another worker can take it over. It is opaque to the vault.

A missing key takes its default, since an older version may not have written it (`vault.protocol.VERSION`).
"""

from __future__ import annotations

import marshal
import time
from typing import Any

import trio
from attrs import frozen

from splicer.arrival import Arrival
from splicer.authorization import AuthorizeOutcome
from splicer.errors import Side
from splicer.model import Endpoint
from splicer.net.options import USER_TIMEOUT_MS
from splicer.net.stream import ByteStream
from splicer.record import AttemptOutcome, Record
from splicer.relay.api import ResumeState, TunnelLimits
from splicer.session.leg_state import Leg, look, read_of, taken_by, unread
from splicer.tls_facts import ClientCertificate, TlsFacts
from splicer.trace import RequestTrace

_FORMAT = 4  # of marshal: every Python since 3.4 reads it; writing takes an eighth of the time of JSON
_MAX_CHARACTERS = 1024  # characters of a text from outside; a log line has no more
_MOST_ATTEMPTS = 4


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
        came: bytes that were read from the client and the pod before the tunnel; None: they are not needed.
    """

    record: Record
    limits: TunnelLimits
    head: int
    opened: float
    client: int
    pod: int
    crashes: int = 0
    came: tuple[int, int] | None = None

    def past(self, client: ByteStream, pod: ByteStream, pipes: dict[int, int]) -> ResumeState:
        """The tunnel's present state, according to its sockets.

        A leg that is closed in both directions although its peer has sent no end of stream was reset, and the worker
        that got the error is dead. If we have sent an end of stream to a leg, the other leg's end of stream had
        arrived about when this leg last acknowledged something.
        """
        one, other = look(client), look(pod)
        broken = None
        if one.lost and other.alive:
            broken = Side.CLIENT
        elif other.lost and one.alive:
            broken = Side.POD
        silent, closer = _least(one.silent, other.silent), None
        if other.shut and not one.shut:
            silent, closer = _least(silent, other.heard), Side.CLIENT
        elif one.shut and not other.shut:
            silent, closer = _least(silent, one.heard), Side.POD
        before = self.came or (0, 0)
        return ResumeState(
            pipes=(pipes.get(0), pipes.get(1)),
            to_pod=_taken(other, self.pod) if pod.tls is None else _passed(client, before[0], pipes.get(0)),
            to_client=(
                _taken(one, self.client) - self.head if client.tls is None else _passed(pod, before[1], pipes.get(1))
            ),
            silent=silent,
            age=max(0.0, time.monotonic() - self.opened),
            broken=broken,
            closer=closer,
            patience=USER_TIMEOUT_MS,
        )


def _taken(leg: Leg, before: int) -> int:
    return max(0, (leg.taken or 0) - before)


# Of a unix socket the kernel does not say what it has taken: it is what was read from the other leg, without what is
# still in the pipe.
def _passed(source: ByteStream, before: int, pipe: int | None) -> int:
    if (count := read_of(source)) is None:
        return 0
    return count - before - (0 if pipe is None else unread(pipe))


def _least(*seconds: float | None) -> float:
    return min((value for value in seconds if value is not None), default=0.0)


def write(
    record: Record,
    limits: TunnelLimits,
    head: int,
    client: ByteStream,
    pod: ByteStream,
    early: tuple[int, int] = (0, 0),
) -> bytes:
    """The passport of a tunnel that is about to be opened.

    Args:
        record: its values for the log.
        limits: its deadlines.
        head: bytes of the 101.
        client: the client's connection.
        pod: the pod's connection.
        early: bytes of the tunnel that were read from the client and from the pod already.
    """
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
        "taken": (taken_by(client) or 0, taken_by(pod) or 0),
    }
    if (trace := record.trace) is not None:
        fields["trace"] = trace.trace_id, trace.span_id, trace.sampled
    if client.tls is not None or pod.tls is not None:
        fields["came"] = (read_of(client) or 0) - early[0], (read_of(pod) or 0) - early[1]
        fields["tls"] = tuple(map(_written, (record.tls, record.pod_tls)))
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
    record.tls, record.pod_tls = map(_tls_facts, fields.get("tls", (None, None)))
    client, pod = fields["taken"]
    limits = TunnelLimits(*fields["limits"])
    return Passport(record, limits, fields["head"], fields["opened"], client, pod, crashes, fields.get("came"))


def _written(facts: TlsFacts | None) -> tuple[Any, ...] | None:
    if facts is None:
        return None
    name = None if facts.peer is None else _cut(facts.peer.name)
    place = facts.row, facts.entry, facts.serial
    return facts.version, facts.cipher, _cut(facts.sni), facts.resumed, facts.seconds, *place, name


def _tls_facts(written: tuple[Any, ...] | None) -> TlsFacts | None:
    if written is None:
        return None
    version, cipher, sni, resumed, seconds, row, entry, serial, name = written
    peer = None if name is None else ClientCertificate("", subject=name)
    return TlsFacts(version, cipher, sni, resumed, seconds, row, entry, serial, peer)


def _attempts(fields: dict[str, Any], started: float) -> list[AttemptOutcome]:
    attempts = [AttemptOutcome(*attempt) for attempt in fields.get("attempts", ())]
    for attempt, (later, *parts) in zip(attempts, fields.get("times", ()), strict=False):
        attempt.started = started + later
        attempt.resolve, attempt.connect, attempt.handshake = parts
    return attempts


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS]
