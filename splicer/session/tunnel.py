"""Upgraded connections: checks the handshake, then splices; also takes over the tunnels of another worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from splicer.edits import FieldEdits
from splicer.errors import NoDescriptor, Side
from splicer.http1.upgrade import serialize_101
from splicer.limit_errors import RouteFull
from splicer.model import ResponseHead
from splicer.net.stream import ByteStream
from splicer.quick_frozen import quick_frozen
from splicer.record import Record
from splicer.relay.api import ByteCounts, TunnelEnd, TunnelLimits, TunnelSpec
from splicer.session import passport
from splicer.session.attempt import Attempts
from splicer.session.authorize import authorize
from splicer.session.client import ClientLeg
from splicer.session.context import ConnectionState, SessionContext
from splicer.session.exchange import Exchange
from splicer.session.forward import relay_in_time
from splicer.session.hooks import call_hooks
from splicer.session.passport import Passport
from splicer.session.respond import send_refusal
from splicer.upstream.balance import Hold
from splicer.upstream.pod import PodLeg

_SWITCHING = 101  # the status of what was opened
# If the bytes of a call make the C extension crash, they must not end one worker after another. A call that has seen so
# many crashes, whatever their cause, is moved by Python.
_MOST_CRASHES = 2

Splicing = Callable[[ByteCounts], Awaitable[TunnelEnd]]


@quick_frozen
class OpenTunnel:
    """A verified handshake: the data of it that the tunnel still needs.

    The request, its parsers and its route are freed before the bytes flow, because a call may last an hour.
    """

    pod: ByteStream
    limits: TunnelLimits
    head: bytes
    to_client: bytes
    to_pod: bytes
    record: Record
    hold: Hold
    edits: FieldEdits | None = None  # of the answer, for a refusal in place of the 101


async def open_tunnel(exchange: Exchange) -> OpenTunnel | bool:
    """Ask a pod for the upgrade; return an open tunnel or, without a 101, whether another request may follow.

    Raises:
        SplicerError: nothing was answered, or (`exchange.answered`) the answer broke off.
    """
    leg, answer = await _handshake(exchange)
    if answer.status != _SWITCHING:
        return await relay_in_time(exchange, leg, answer)
    deadlines, edits = exchange.match.route.deadlines, exchange.answer_edits()
    early = bytes(exchange.client.buffer)
    exchange.client.buffer.clear()
    hold = exchange.connector.take_hold()
    hold.opened()
    return OpenTunnel(
        pod=leg.stream,
        limits=TunnelLimits(deadlines.idle, deadlines.half_closed, deadlines.lifetime),
        head=serialize_101(answer, edits),
        to_client=leg.parser.trailing,
        to_pod=early,
        record=exchange.record,
        hold=hold,
        edits=edits,
    )


async def _handshake(exchange: Exchange) -> tuple[PodLeg, ResponseHead]:
    """Ask a pod; a 101 is counted as a tunnel, which holds its route's place until it is over.

    Raises:
        RouteFull: the route has no place for another tunnel; its authorizer isn't asked then.
        SplicerError: a hook or the authorizer has refused it, or no pod has answered.
    """
    route, places = exchange.match.route, exchange.context.places
    limit = route.max_tunnels
    if limit is not None and not places.take(route.name, limit):
        raise RouteFull(f"route {route.name} has {limit} tunnels, as many as its max_tunnels")
    try:
        if route.hooks:
            await call_hooks(exchange)
        if route.authorize is not None:
            await authorize(exchange, route.authorize)
        exchange.wait_in_line()
        leg, answer = await Attempts(exchange).run()
        if answer.status == _SWITCHING:
            places.opened(route.name)
    finally:
        if limit is not None:
            places.give_back(route.name)
    return leg, answer


async def run_tunnel(context: SessionContext, client: ClientLeg, tunnel: OpenTunnel) -> None:
    """Relay until the tunnel is over, then close or reset both legs, depending on how it ended."""
    opening = _Opening(context, client, tunnel)
    await _run(context, tunnel.record, (client.stream, tunnel.pod), tunnel.hold, opening.splice)


# The tunnel is in the vault before the client gets a byte of the 101, which is sent by splice like all that follows.
# One object with slots: it lives as long as the call, and closures took 760 bytes more.
class _Opening:
    __slots__ = ("_client", "_context", "_key", "_known", "_tunnel")

    def __init__(self, context: SessionContext, client: ClientLeg, tunnel: OpenTunnel) -> None:
        self._context = context
        self._client = client
        self._tunnel = tunnel
        self._key = _key(tunnel.record)
        self._known = False  # whether the vault has been told

    # Nothing may happen between these two: a worker killed in between would have opened a tunnel that is never counted.
    async def _register(self) -> None:
        self._known = True
        vault, tunnel = self._context.vault, self._tunnel
        if vault is not None:
            client, pod, early = self._client.stream, tunnel.pod, (len(tunnel.to_pod), len(tunnel.to_client))
            written = passport.write(tunnel.record, tunnel.limits, len(tunnel.head), client, pod, early)
            await vault.register(self._key, written, client.sock, pod.sock)
        tunnel.record.status = _SWITCHING
        if tunnel.record.trace is not None:
            tunnel.record.trace.opened = trio.current_time()
        self._context.observer.tunnel_opened(tunnel.record)

    async def splice(self, counts: ByteCounts) -> TunnelEnd:
        context, tunnel, record = self._context, self._tunnel, self._tunnel.record
        spec = TunnelSpec(
            self._client.stream.sock,
            tunnel.pod.sock,
            tunnel.limits,
            record,
            counts,
            to_client=tunnel.head + tunnel.to_client,
            to_pod=tunnel.to_pod,
            uncounted=len(tunnel.head),
            key=self._key,
            register=self._register,
            client_end=self._client.stream.tls,
            pod_end=tunnel.pod.tls,
        )
        try:
            try:
                return await context.splice(spec)
            except OSError:  # no pipe, for which idle clients may have descriptors
                if self._known or not await context.idle.free_descriptors():
                    raise
            return await context.splice(spec)
        except OSError as error:
            if record.status == _SWITCHING:  # the client may have its 101: no other answer can follow
                raise
            record.status = NoDescriptor.status
            record.detail = f"no pipe: {error.strerror or error}"
            if record.passed_through:
                return TunnelEnd(Side.PROXY, NoDescriptor.reason)
            await send_refusal(self._client, NoDescriptor(), context.rules.errors, tunnel.edits)
            return TunnelEnd(Side.PROXY, NoDescriptor.reason)


async def run_adopted(
    context: SessionContext, past: Passport, client: ByteStream, pod: ByteStream, pipes: dict[int, int]
) -> None:
    """Continue a tunnel of another worker. An exception ends only this tunnel, and is reported to the observer.

    Args:
        context: the worker's context.
        past: its passport.
        client: the client's connection; it is closed at the end.
        pod: the pod's connection; it is closed at the end.
        pipes: direction (0: to the pod) → read end of a pipe whose bytes are sent first; ownership passes to this call.
    """
    record = past.record
    context.places.opened(record.route or "")
    hold = context.balancer.adopt(record.endpoint) if record.endpoint is not None else None

    async def splice(counts: ByteCounts) -> TunnelEnd:
        spec = TunnelSpec(
            client.sock,
            pod.sock,
            past.limits,
            record,
            counts,
            key=_key(record),
            past=past.past(client, pod, pipes),
            plain=past.crashes >= _MOST_CRASHES,
            client_end=client.tls,
            pod_end=pod.tls,
        )
        return await context.splice(spec)

    context.counts.enter(ConnectionState.WRITING)
    try:
        await _run(context, record, (client, pod), hold, splice)
    except Exception as error:  # noqa: BLE001 - a bug must not end the other calls; the observer logs it
        context.observer.crashed(record.client, record, error)
    finally:
        context.counts.leave(ConnectionState.WRITING)


async def _run(
    context: SessionContext,
    record: Record,
    streams: tuple[ByteStream, ByteStream],
    hold: Hold | None,
    splice: Splicing,
) -> None:
    counts = ByteCounts()
    end = TunnelEnd(Side.PROXY, "shutdown")  # if the splice does not return, this task was cancelled
    try:
        end = await splice(counts)
    except Exception:
        end = TunnelEnd(Side.PROXY, "crash")
        raise
    finally:
        if hold is not None:
            hold.__exit__()
        context.places.over(record.route or "")
        record.ended = trio.current_time()
        record.to_pod, record.to_client = counts.to_pod, counts.to_client
        record.closer, record.close_reason = end.closer, end.reason
        if record.logged or record.trace is not None:
            record.client_line, record.pod_line = (stream.quality() for stream in streams)
        _close(end, *streams, held=context.vault is not None and context.vault.stalled)
        _tell_of_end(context, record, end)


# If a worker is killed before the vault knows of the end, the next worker takes over the tunnel and reports its end: so
# the end is reported only after the vault knows it. A connection that got a refusal was never a tunnel.
def _tell_of_end(context: SessionContext, record: Record, end: TunnelEnd) -> None:
    def count() -> None:
        if record.status == _SWITCHING:
            context.observer.tunnel_over(record)

    def tell() -> None:
        if record.status == _SWITCHING:
            context.observer.tunnel_closed(record)
        else:
            context.observer.exchange_ended(record)

    if context.vault is None:
        count()
        tell()
    else:
        context.vault.release(_key(record), soon=end.reset, then=count, after=tell)


# A tunnel's key in the vault: even, because the journal's lowest bit is a direction; random, so that keys don't repeat.
def _key(record: Record) -> int:
    return int(record.id, 16) & ~1 or 2


# A reset is passed on as a reset; any other end closes both legs in order. The kernel sends a reset when the last
# descriptor is closed: if another process keeps one (`held`), the peer would get nothing, so the leg is closed instead.
def _close(end: TunnelEnd, client: ByteStream, pod: ByteStream, *, held: bool) -> None:
    for side, stream in ((Side.CLIENT, client), (Side.POD, pod)):
        if end.reset and side is not end.closer and not held:
            stream.reset()
        elif side is end.shut:
            stream.close_ended()
        else:
            stream.close()
