"""Upgraded connections: the gate, then the splice; and those that were another worker's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from attrs import frozen

from splicer.errors import NoDescriptor, Side
from splicer.http1.upgrade import serialize_101
from splicer.model import Record
from splicer.net.stream import ByteStream
from splicer.net.tcpinfo import quality
from splicer.relay.api import ByteCounts, TunnelEnd, TunnelLimits, TunnelSpec
from splicer.session import passport
from splicer.session.attempt import Attempts
from splicer.session.client import ClientLeg
from splicer.session.context import ConnectionState, SessionContext
from splicer.session.exchange import Exchange
from splicer.session.forward import relay_in_time
from splicer.session.passport import Passport
from splicer.session.respond import send_refusal
from splicer.upstream.balance import Hold

_SWITCHING = 101  # the status of what was opened

Splicing = Callable[[ByteCounts], Awaitable[TunnelEnd]]


@frozen
class OpenTunnel:
    """A verified handshake, and all that a tunnel still needs of it.

    The request, its parsers and its route are gone by the time the bytes flow: a call lasts an hour.
    """

    pod: ByteStream
    limits: TunnelLimits
    head: bytes
    to_client: bytes
    to_pod: bytes
    record: Record
    hold: Hold


async def open_tunnel(exchange: Exchange) -> OpenTunnel | bool:
    """Ask a pod for the upgrade: an open tunnel, or (its answer was no 101) whether another request may follow.

    Raises:
        SplicerError: nothing was answered, or (`exchange.answered`) the answer broke off.
    """
    leg, answer = await Attempts(exchange).run()
    if answer.status != 101:
        return await relay_in_time(exchange, leg, answer)
    deadlines = exchange.match.route.deadlines
    early = bytes(exchange.client.buffer)
    exchange.client.buffer.clear()
    return OpenTunnel(
        pod=leg.stream,
        limits=TunnelLimits(deadlines.idle, deadlines.half_closed, deadlines.lifetime),
        head=serialize_101(answer),
        to_client=leg.parser.trailing,
        to_pod=early,
        record=exchange.record,
        hold=exchange.connector.take_hold(),
    )


# The tunnel is in the vault before the client sees a byte of its 101, which leaves by splice like all that follows.
async def run_tunnel(context: SessionContext, client: ClientLeg, tunnel: OpenTunnel) -> None:
    """Relay until the tunnel is over, and close both legs as it ended."""
    record, limits, head = tunnel.record, tunnel.limits, tunnel.head
    sockets = client.stream.sock, tunnel.pod.sock
    key, known = _key(record), False  # and whether the vault has been told

    # Who is killed after the one and before the other has opened a tunnel that nobody has counted: nothing in between.
    async def register() -> None:
        nonlocal known
        known = True
        if context.vault is not None:
            await context.vault.register(key, passport.write(record, limits, len(head), *sockets), *sockets)
        record.status = _SWITCHING
        context.observer.tunnel_opened(record)

    async def splice(counts: ByteCounts) -> TunnelEnd:
        spec = TunnelSpec(
            *sockets,
            limits,
            record,
            counts,
            to_client=head + tunnel.to_client,
            to_pod=tunnel.to_pod,
            uncounted=len(head),
            key=key,
            register=register,
        )
        try:
            try:
                return await context.splice(spec)
            except OSError:  # no pipe, for which idle clients may have descriptors
                if known or not await context.idle.free_descriptors():
                    raise
            return await context.splice(spec)
        except OSError as error:
            if record.status == _SWITCHING:  # the client may have its 101: no other answer can follow
                raise
            record.status = NoDescriptor.status
            record.detail = f"no pipe: {error.strerror or error}"
            await send_refusal(client, NoDescriptor())
            return TunnelEnd(Side.PROXY, NoDescriptor.reason)

    await _run(context, record, (client.stream, tunnel.pod), tunnel.hold, splice)


async def run_adopted(
    context: SessionContext, past: Passport, client: ByteStream, pod: ByteStream, pipes: dict[int, int]
) -> None:
    """Go on with a tunnel that was another worker's. An exception ends this tunnel alone, and the observer is told.

    Args:
        context: what the session is given.
        past: what was written down about it.
        client: its connection; it is closed at the end.
        pod: its connection; it is closed at the end.
        pipes: direction (0: to the pod) → read end of a pipe whose bytes go first; it is owned from now on.
    """
    record = past.record
    hold = context.balancer.hold(record.endpoint) if record.endpoint is not None else None
    if hold is not None:
        hold.__enter__()

    async def splice(counts: ByteCounts) -> TunnelEnd:
        now = past.past(client.sock, pod.sock, pipes)
        spec = TunnelSpec(client.sock, pod.sock, past.limits, record, counts, key=_key(record), past=now)
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
    end = TunnelEnd(Side.PROXY, "shutdown")  # unless the splice returns, this task was cancelled
    try:
        end = await splice(counts)
    except Exception:
        end = TunnelEnd(Side.PROXY, "crash")
        raise
    finally:
        if hold is not None:
            hold.__exit__()
        record.ended = trio.current_time()
        record.to_pod, record.to_client = counts.to_pod, counts.to_client
        record.closer, record.close_reason = end.closer, end.reason
        if record.logged:
            record.client_line, record.pod_line = (quality(stream.sock) for stream in streams)
        _close(end, *streams, held=context.vault is not None and context.vault.stalled)
        _tell_of_end(context, record, end)


# A worker that is killed before the vault knows of the end leaves the tunnel to the next one, which tells of it too: so
# nobody is told before the vault is. What got a refusal was never a tunnel.
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


# A tunnel's key in the vault: even, for the journal's lowest bit is a direction; random, so that none comes twice.
def _key(record: Record) -> int:
    return int(record.id, 16) & ~1 or 2


# A reset is passed on as a reset; any other end is an orderly close of both. A reset goes out with the last descriptor:
# while somebody holds another one, and won't let go, the peer would hear nothing.
def _close(end: TunnelEnd, client: ByteStream, pod: ByteStream, *, held: bool) -> None:
    for side, stream in ((Side.CLIENT, client), (Side.POD, pod)):
        if end.reset and side is not end.closer and not held:
            stream.reset()
        else:
            stream.close()
