"""One client connection: read a head, match a route, send an answer or open a tunnel; then the next head."""

from __future__ import annotations

from enum import Enum, auto

import trio

from splicer.arrival import Arrival
from splicer.edits import FieldEdits
from splicer.errors import ClientGone, Side, SplicerError
from splicer.http1.body import request_body
from splicer.http1.client_certificate import forwarded_certificate
from splicer.http1.forwarded import Forwarding, forwarding
from splicer.http1.request import parse_request, request_line
from splicer.http1.writer import simple_response
from splicer.model import Match, RequestHead
from splicer.net.stream import ByteStream
from splicer.net.waits import Waits
from splicer.record import Record
from splicer.session.admission import Applicant
from splicer.session.body import RequestBody
from splicer.session.client import ClientLeg
from splicer.session.context import ConnectionState, Ruleset, SessionContext
from splicer.session.edits import RouteEdits, facts_of
from splicer.session.exchange import Exchange
from splicer.session.forward import forward
from splicer.session.identity import identities
from splicer.session.logged_headers import logged_values
from splicer.session.respond import own_answer, refusal, send_answer
from splicer.session.tunnel import OpenTunnel, open_tunnel, run_tunnel
from splicer.session.turns import Work
from splicer.tls_facts import TlsFacts

_IDENTITIES = identities()
_PROBE_BYTES, _ORDINARY_BYTES = 1024, 4096  # a longer head takes longer to parse: it waits for turns of another kind
_FIRST_REQUEST_SECONDS = 1.0  # seconds; a first request comes with its connection, or at most this much later


class Then(Enum):
    """What follows a request on its connection."""

    REQUEST = auto()  # another request may follow
    LINGER = auto()  # close, after the client has had time to read its answer
    CLOSE = auto()  # close at once


class Connection:
    """One client connection, from accept to close.

    Args:
        context: the worker's context.
        stream: the connection; it is closed at the end.
        peer: the client's numeric address.
        over: see `ClientLeg`.
        place: WAITING if another worker has served it, and it is idle.
        arrival: see `ClientLeg`.
    """

    __slots__ = ("_client", "_context", "_edits", "_exchange", "_head", "_keepalive", "_place", "_record", "_waits")

    def __init__(
        self,
        context: SessionContext,
        stream: ByteStream,
        peer: str,
        *,
        over: bool = False,
        place: ConnectionState = ConnectionState.READING,
        arrival: Arrival | None = None,
    ) -> None:
        self._context = context
        self._client = ClientLeg(stream, peer, over=over, arrival=arrival)
        self._waits = Waits(context.timers)
        self._place = context.counts.enter(place)
        self._forget_request()

    def _forget_request(self) -> None:
        self._record: Record | None = None
        self._head: RequestHead | None = None
        self._exchange: Exchange | None = None
        self._edits: RouteEdits | None = None
        self._keepalive = self._context.rules.deadlines.keepalive

    async def serve(self) -> None:
        """Serve until either side closes. An exception ends only this connection, and is reported to the observer."""
        try:
            tunnel = await self._serve_requests()
            self._waits.close()
            if tunnel is not None:
                self._head = self._exchange = self._edits = None
                await run_tunnel(self._context, self._client, tunnel)
        except Exception as error:  # noqa: BLE001 - a bug must not end the other calls; the observer logs it
            self._context.observer.crashed(self._client.peer, self._record, error)
        finally:
            self._waits.close()
            self._context.counts.leave(self._place)
            self._client.stream.close()

    async def _serve_requests(self) -> OpenTunnel | None:
        if not await self._asks():
            return None
        while True:
            outcome = await self._next_request()
            if isinstance(outcome, OpenTunnel):
                return outcome
            if outcome is Then.CLOSE:
                return None
            self._move(ConnectionState.WAITING)
            if outcome is Then.LINGER:
                await self._linger()
                return None
            # Pipelined requests might never make this task wait, and then all calls would wait for this connection.
            if self._client.buffer:
                await trio.lowlevel.checkpoint()
            if not await self._context.idle.wait(self._client, self._waits, self._keepalive):
                return None
            self._forget_request()
            self._move(ConnectionState.READING)

    # A client that sends nothing for longer than a request takes to arrive is as idle as one between two requests.
    async def _asks(self) -> bool:
        if self._place is ConnectionState.WAITING:
            asks = await self._context.idle.wait(self._client, self._waits, self._keepalive)
            self._move(ConnectionState.READING)
            return asks
        if self._client.read_now():
            return True
        head = self._context.rules.deadlines.head
        with trio.move_on_after(min(head, _FIRST_REQUEST_SECONDS)):
            return await self._client.wait_byte()
        self._move(ConnectionState.WAITING)
        asks = await self._context.idle.wait(self._client, self._waits, max(0.0, head - _FIRST_REQUEST_SECONDS))
        self._move(ConnectionState.READING)
        return asks

    def _move(self, place: ConnectionState) -> None:
        self._place = self._context.counts.move(self._place, place)

    # Every request is reported once: here, unless it becomes a tunnel or ends in a crash.
    async def _next_request(self) -> OpenTunnel | Then:
        client = self._client
        record = Record(next(_IDENTITIES), client.peer, trio.current_time(), arrival=client.arrival)
        if client.stream.tls is not None:
            record.tls = client.stream.tls.facts
        self._record = record
        try:
            outcome = await self._take_request(record)
        except BaseException as error:
            if not isinstance(error, Exception):  # cancelled; a nursery wraps the exception in a group
                self._shut_down(record)
            raise
        finally:
            if self._exchange is not None:
                self._exchange.finish()
                record.to_pod = self._exchange.body.sent
        if outcome is not None and not isinstance(outcome, OpenTunnel):
            record.ended = trio.current_time()
            self._context.observer.exchange_ended(record)
        return outcome or Then.CLOSE

    async def _take_request(self, record: Record) -> OpenTunnel | Then | None:
        rules = self._context.rules
        raw: bytes | None = None
        try:
            raw = await self._client.read_head(rules.deadlines.head, rules.limits.head_bytes)
            if raw is None:
                return None
            self._move(ConnectionState.WRITING)
            self._context.counts.requests += 1
            record.started = trio.current_time()
            work = _work(raw, rules)
            if self._context.turns.busy(work):
                await self._context.turns.wait(work)
            return await self._handle(self._context.rules, raw, record)
        except SplicerError as error:
            if self._head is None and (line := request_line(raw or self._client.buffer)) is not None:
                record.method, record.path = line
            return await self._fail(error, record)

    def _shut_down(self, record: Record) -> None:
        if self._place is ConnectionState.WRITING or self._client.buffer:
            if self._needs_cut():
                self._client.stream.reset()
            record.closer, record.close_reason, record.ended = Side.PROXY, "shutdown", trio.current_time()
            self._context.observer.exchange_ended(record)

    async def _handle(self, rules: Ruleset, raw: bytes, record: Record) -> OpenTunnel | Then:
        head, server = parse_request(raw, limit=rules.limits.head_bytes)
        self._context.yield_to_relay()
        self._head = head
        record.method, record.path, record.query, record.host = head.method, head.path, head.query, head.host
        arrival = self._client.arrival
        secure = record.tls is not None or (arrival is not None and arrival.secure)
        certificate = "" if record.tls is None else _certificate(record.tls)
        origin = forwarding(
            head, self._client.peer, rules.trusted_proxies, record.id, secure=secure, certificate=certificate
        )
        record.client, record.request_id = origin.client, origin.request_id
        if rules.tracing is not None:
            record.trace = rules.tracing.begin(head, origin, self._client.peer, record.id)
        if rules.logged_headers:
            record.headers, record.version = logged_values(head, rules.logged_headers), head.version
        match = rules.table.match(head.method, head.host, head.path, head.headers, head.query, origin.proto)
        route = match.route
        record.route, record.logged = route.name, route.log
        if record.trace is not None and rules.tracing is not None:
            record.trace.pattern = rules.tracing.patterns.get(route.name, "")
        self._keepalive = route.deadlines.keepalive
        if route.edits is not None:
            self._edits = RouteEdits(route.edits, facts_of(match, head, origin))
        applicant = Applicant(self._context, rules, self._client, head, route, origin.client)
        applicant.admit()
        if route.upstream is None:
            return await self._respond(match, head, origin, record)
        applicant.admit_to_pod()
        protocol = record.protocol = applicant.protocol
        reader = request_body(head, rules.limits.head_bytes)
        body = RequestBody(
            self._client,
            head,
            reader,
            applicant.body_bytes,
            route.deadlines.body_idle,
            self._context.turns,
            None if route.edits is None else route.edits.request,
        )
        exchange = self._exchange = Exchange(
            self._context, rules, self._client, head, match, origin, record, server, body, protocol, self._edits
        ).begin()
        exchange.waits = self._waits
        outcome = await (forward(exchange) if protocol is None else open_tunnel(exchange))
        if isinstance(outcome, OpenTunnel):
            return outcome
        record.closer, record.close_reason = Side.POD, "complete"
        return Then.REQUEST if outcome else Then.LINGER

    async def _respond(self, match: Match, head: RequestHead, origin: Forwarding, record: Record) -> Then:
        answer = own_answer(self._context, match, head, origin)
        more = self._may_go_on()
        data = simple_response(
            answer.status,
            answer.body,
            answer.content_type,
            answer.headers,
            head_only=head.method == "HEAD",
            close=not more,
            edits=self._answer_edits(),
        )
        record.status = answer.status
        record.closer, record.close_reason = Side.PROXY, "complete"
        await send_answer(self._client, data)
        record.to_client = 0 if head.method == "HEAD" else len(answer.body)
        return Then.REQUEST if more else Then.LINGER

    def _answer_edits(self) -> FieldEdits | None:
        return None if self._edits is None else self._edits.answer()

    # After an answer without a pod, the connection stays open only if the next byte surely begins the next request.
    def _may_go_on(self) -> bool:
        head, exchange, context = self._head, self._exchange, self._context
        if head is None or head.version != "1.1" or context.draining or context.retiring or self._client.over:
            return False
        if any(b"close" in value.lower() for value in head.values(b"connection")):
            return False
        if exchange is None:
            return not head.has_body
        return exchange.body.complete and exchange.protocol is None

    async def _fail(self, error: SplicerError, record: Record) -> Then:
        record.closer, record.close_reason, record.detail = error.closer, error.reason, error.detail
        if isinstance(error, ClientGone):
            record.status = record.status or error.status
            return Then.CLOSE
        if self._exchange is not None and self._exchange.answered:
            if not self._needs_cut():
                return Then.LINGER
            await self._client.cut()
            return Then.CLOSE
        record.status = error.status
        more = self._may_go_on()
        try:
            head_only = self._head is not None and self._head.method == "HEAD"
            page = self._context.rules.errors.get(error.status)
            edits = self._answer_edits()
            data = refusal(error, error.status, page, head_only=head_only, close=not more, edits=edits)
            await send_answer(self._client, data)
        except ClientGone:
            return Then.CLOSE
        return Then.REQUEST if more else Then.LINGER

    # An HTTP/1.0 client of a body without a length can recognise a cut-off only by a reset. Any other client recognises
    # it anyway, and would lose the bytes under way by a reset.
    def _needs_cut(self) -> bool:
        exchange = self._exchange
        return exchange is not None and exchange.answered and not exchange.writer.tells_length

    async def _linger(self) -> None:
        client, head = self._client, self._head
        if client.buffer or head is None or head.has_body or not client.stream.is_quiet():
            self._context.lingering += 1
            try:
                await client.linger()
            finally:
                self._context.lingering -= 1


def _certificate(facts: TlsFacts) -> str:
    return forwarded_certificate(facts.peer) if facts.peer is not None and facts.peer.forward else ""


# A guess: it decides only about the kind of turn.
def _work(raw: bytes, rules: Ruleset) -> Work:
    if len(raw) > _ORDINARY_BYTES:
        return Work.LARGE
    if len(raw) > _PROBE_BYTES:
        return Work.REQUEST
    _, _, rest = raw.partition(b" ")
    target, _, _ = rest.partition(b" ")
    return Work.PROBE if target.partition(b"?")[0] in rules.probes else Work.REQUEST
