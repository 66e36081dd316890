"""Upgraded connections: the gate, then the splice."""

from __future__ import annotations

from attrs import frozen

from splicer.errors import NoDescriptor, Side
from splicer.http1.upgrade import serialize_101
from splicer.model import Record
from splicer.net.stream import ByteStream
from splicer.relay.leg import TunnelEnd, TunnelLimits
from splicer.session.attempt import Attempts
from splicer.session.client import ClientLeg
from splicer.session.exchange import Exchange
from splicer.session.forward import relay_in_time
from splicer.session.house import House
from splicer.session.respond import send_refusal
from splicer.upstream.balance import Hold


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


async def shake_hands(exchange: Exchange) -> OpenTunnel | bool:
    """Ask a pod for the upgrade: an open tunnel, or (its answer was no 101) whether another request may follow.

    Raises:
        SplicerError: nothing was answered, or (`exchange.answered`) the answer broke off.
    """
    leg, answer = await Attempts(exchange).run()
    if answer.status != 101:
        return await relay_in_time(exchange, leg, answer)
    deadlines = exchange.match.route.deadlines
    exchange.record.status = 101
    exchange.record.protocol = exchange.protocol
    early = bytes(exchange.client.buffer)
    exchange.client.buffer.clear()
    return OpenTunnel(
        pod=leg.stream,
        limits=TunnelLimits(deadlines.idle, deadlines.half_closed, deadlines.lifetime),
        head=serialize_101(answer),
        to_client=leg.parser.trailing,
        to_pod=early,
        record=exchange.record,
        hold=exchange.take_hold(),
    )


async def run_tunnel(house: House, client: ClientLeg, tunnel: OpenTunnel) -> None:
    """Relay until the tunnel is over, and close both legs as it ended."""
    record, tally = tunnel.record, [0, 0]
    end = TunnelEnd(Side.PROXY, "shutdown")  # unless the splice returns, this task was cancelled
    try:
        house.observer.tunnel_opened(record)
        end = await house.splice(
            client.stream.sock,
            tunnel.pod.sock,
            tunnel.limits,
            to_client=tunnel.head + tunnel.to_client,
            to_pod=tunnel.to_pod,
            tally=tally,
        )
    except OSError as error:
        end = TunnelEnd(Side.PROXY, NoDescriptor.reason)
        record.status = NoDescriptor.status
        record.detail = f"no pipe: {error.strerror or error}"
        await send_refusal(client, NoDescriptor())
    except Exception:
        end = TunnelEnd(Side.PROXY, "crash")
        raise
    finally:
        tunnel.hold.__exit__()  # it was entered when the endpoint was dialled
        _close(end, client.stream, tunnel.pod)
        record.to_pod, record.to_client = tally[0], max(0, tally[1] - len(tunnel.head))
        record.closer, record.close_reason = end.closer, end.reason
        house.observer.tunnel_closed(record)


# A reset is passed on as a reset; any other end is an orderly close of both.
def _close(end: TunnelEnd, client: ByteStream, pod: ByteStream) -> None:
    for side, stream in ((Side.CLIENT, client), (Side.POD, pod)):
        if end.reset and side is not end.closer:
            stream.reset()
        else:
            stream.close()
