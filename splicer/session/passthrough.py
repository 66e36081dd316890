"""A TLS connection that goes to a pod as it is, by the name that the client asks for.

Its first message is looked at and left in the socket; from then on it is a tunnel like any other.
"""

from __future__ import annotations

import trio

from splicer.arrival import Arrival
from splicer.client_hello import MOST, Hello
from splicer.errors import ClientError, ClientGone, Draining, PodDraining, Side, SplicerError, TooManyConnections
from splicer.hello_errors import HelloTimeout, UnknownName
from splicer.http1.forwarded import Forwarding
from splicer.http1.response import ResponseParser
from splicer.model import RequestHead, authority
from splicer.net.hello import peek_hello
from splicer.net.stream import ByteStream
from splicer.policy.deadlines import AttemptBudget
from splicer.policy.tiers import Purpose
from splicer.record import PASSTHROUGH, AttemptOutcome, Record
from splicer.relay.api import TunnelLimits
from splicer.routing.passthrough import PassthroughMatch
from splicer.routing.template import render_host
from splicer.session.client import ClientLeg
from splicer.session.context import ConnectionState, SessionContext
from splicer.session.identity import identities
from splicer.session.proxy_header import proxy_header
from splicer.session.tunnel import OpenTunnel, run_tunnel
from splicer.upstream.client import Connector
from splicer.upstream.outcomes import report_connected
from splicer.upstream.pod import PodLeg
from splicer.upstream.source import pod_name

_IDENTITIES = identities()
_UNRECOGNIZED_NAME, _INTERNAL_ERROR = 112, 80  # alerts (RFC 8446 §6)
_NOTHING = RequestHead("GET", "/", "/", None, "", "1.1", ())  # a leg has a parser, which gets nothing here


class PassthroughConnection:
    """One such connection, from accept to close.

    Args:
        context: the worker's context.
        stream: the connection.
        peer: the client's numeric address.
        arrival: how it came, if it is not the client's own.
        over: accepted over the limit of connections.
        tls: whether others than those of `[[passthrough]]` speak TLS with this edge.
    """

    __slots__ = ("_client", "_connector", "_context", "_place", "_tls")

    def __init__(
        self,
        context: SessionContext,
        stream: ByteStream,
        peer: str,
        *,
        arrival: Arrival | None = None,
        over: bool = False,
        tls: bool = False,
    ) -> None:
        self._context = context
        self._client = ClientLeg(stream, peer, over=over, arrival=arrival)
        self._connector: Connector | None = None
        self._tls = tls
        self._place = context.counts.enter(ConnectionState.READING)

    async def serve(self) -> bool:
        """Serve until either side closes; True: no byte was taken, and the connection is for the edge's own TLS."""
        for_us = False
        try:
            for_us = await self._serve()
        except Exception as error:  # noqa: BLE001 - as in `Connection.serve`
            self._context.observer.crashed(self._client.peer, None, error)
        finally:
            self._context.counts.leave(self._place)
            if not for_us:
                self._client.stream.close()
        return for_us

    async def _serve(self) -> bool:
        try:
            hello = await self._hello()
        except ClientGone:
            return False
        except ClientError as error:
            return self._is_not_passed(error)
        found = None if hello.name is None else self._context.rules.passthrough.match(hello.name)
        if found is None or hello.name is None:
            return self._is_not_passed(UnknownName("no name" if hello.name is None else hello.name))
        self._place = self._context.counts.move(self._place, ConnectionState.WRITING)
        tunnel = await self._open(hello.name, found)
        if tunnel is not None:
            await run_tunnel(self._context, self._client, tunnel)
        return False

    def _is_not_passed(self, error: ClientError) -> bool:
        if self._tls and not isinstance(error, HelloTimeout):
            return True
        self._context.observer.connection_refused(self._client.peer, error)
        if isinstance(error, UnknownName):
            self._alert(_UNRECOGNIZED_NAME)
        return False

    async def _hello(self) -> Hello:
        seconds = self._context.rules.deadlines.tls
        with trio.move_on_after(seconds):
            return await peek_hello(self._client.stream)
        raise HelloTimeout(f"no whole ClientHello in {seconds:g} s")

    async def _open(self, name: str, found: PassthroughMatch) -> OpenTunnel | None:
        client, context, upstream = self._client, self._context, found.to.upstream
        record = Record(
            next(_IDENTITIES),
            client.peer,
            trio.current_time(),
            route=found.name,
            host=name,
            upstream=upstream.name,
            protocol=PASSTHROUGH,
            arrival=client.arrival,
        )
        connector = self._connector = Connector(
            context,
            context.rules.endpoints,
            AttemptBudget.start(found.to.deadlines, record.started),
            lambda version: proxy_header(version, client, _origin(record)),
        )
        context.waiting.add(self)
        try:
            self._is_admitted()
            leg = await self._connect(connector, found, record)
        except SplicerError as error:
            self._refuse(record, error)
            return None
        finally:
            context.waiting.discard(self)
        record.endpoint = leg.endpoint
        context.places.opened(found.name)
        hold = connector.take_hold()
        hold.opened()
        deadlines = found.to.deadlines
        limits = TunnelLimits(deadlines.idle, deadlines.half_closed, deadlines.lifetime)
        return OpenTunnel(leg.stream, limits, b"", b"", b"", record, hold)

    def _is_admitted(self) -> None:
        if self._client.over and not self._context.may_use_pod():
            raise TooManyConnections("no idle connection could make room")
        if self._context.draining:
            raise Draining("new work is refused during a drain")

    async def _connect(self, connector: Connector, found: PassthroughMatch, record: Record) -> PodLeg:
        context, upstream = self._context, found.to.upstream
        outcome = AttemptOutcome(upstream.name, started=record.started, failure="abandoned")
        try:
            host = render_host(upstream.host, found.captures)
            if (pod := pod_name(upstream, host)) in context.drains.pods:
                raise PodDraining(f"{pod} is being drained")
            record.target = outcome.target = authority(host, upstream.port)
            parser, drained = ResponseParser(_NOTHING, MOST), context.drains.endpoints
            leg = await connector.connect(upstream, host, outcome, parser, avoid=drained, purpose=Purpose.CALL)
            if not upstream.port:
                record.target = outcome.target = authority(host, leg.endpoint.port)
        except SplicerError as error:
            outcome.failure, outcome.detail = error.reason, error.detail
            raise
        else:
            outcome.failure = None
            report_connected(context.outcomes, upstream, leg.endpoint)
            return leg
        finally:
            record.attempts.append(outcome)
            context.report(outcome)
            if outcome.failure is not None:
                connector.release()

    def _refuse(self, record: Record, error: SplicerError) -> None:
        record.closer, record.close_reason, record.detail = error.closer, error.reason, error.detail
        record.ended = trio.current_time()
        self._context.observer.exchange_ended(record)
        if error.closer is not Side.CLIENT:
            self._alert(_INTERNAL_ERROR)

    # What is left unread would make close(2) send a reset, and the client might not see the alert.
    def _alert(self, code: int) -> None:
        stream = self._client.stream
        try:
            stream.receive_now(MOST)
            stream.send_now(bytes((21, 3, 3, 0, 2, 2, code)))
        except trio.BrokenResourceError:
            return

    # ---- see `context.InFlight` ----

    def client_left(self) -> bool:
        """Whether the client has left."""
        return self._client.stream.is_gone()

    def give_up(self) -> None:
        """End the present wait."""
        if self._connector is not None:
            self._connector.give_up()


def _origin(record: Record) -> Forwarding:
    return Forwarding(record.client, record.client, "https", record.host or "", record.id)
