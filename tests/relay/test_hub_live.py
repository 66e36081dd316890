"""What the hub shows of the tunnels that are alive, and how one of them is ended."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.errors import Side
from splicer.relay.api import ResumeState, TunnelEnd
from tests.relay.harness import PLENTY, Call, Edge, Shutdown, small_tcp_pair, tcp_pair

_HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def _owners(edge: Edge) -> list[object]:
    return [tunnel.owner for tunnel in edge.hub.views()]


# ---- what is alive ----


async def test_those_that_are_alive_are_shown_oldest_first(edge: Edge) -> None:
    assert edge.hub.views() == []
    calls = [await edge.call(owner=number) for number in range(4)]
    assert _owners(edge) == [0, 1, 2, 3]
    calls[1].hang_up()
    await calls[1].over()
    assert _owners(edge) == [0, 2, 3]
    await edge.call(owner=4)
    assert _owners(edge) == [0, 2, 3, 4]
    calls[2].scope.cancel()
    await calls[2].over()
    assert _owners(edge) == [0, 3, 4]


async def test_what_is_shown_stays_as_it_is_while_tunnels_come_and_go(edge: Edge) -> None:
    first = await edge.call(owner="first")
    live = edge.hub.views()
    await edge.call(owner="second")
    first.hang_up()
    await first.over()
    assert [tunnel.owner for tunnel in live] == ["first"]


async def test_a_tunnel_that_waits_for_its_registration_is_not_alive(edge: Edge) -> None:
    known = trio.Event()
    await edge.call(owner="call", register=known.wait)
    assert edge.hub.views() == []
    known.set()
    await wait_all_tasks_blocked()
    assert _owners(edge) == ["call"]


async def test_an_owner_may_be_nobody(edge: Edge) -> None:
    await edge.call()
    assert _owners(edge) == [None]


async def test_what_moves_is_seen_at_once(edge: Edge) -> None:
    call = await edge.call()
    [tunnel] = edge.hub.views()
    await trio.sleep(0.01)
    idle = tunnel.idle(trio.current_time())
    await call.client.send(b"f" * 160)
    await call.pod.read(160)
    await call.pod.send(b"f" * 100)
    await call.client.read(100)
    assert (tunnel.to_pod, tunnel.to_client) == (160, 100)
    assert tunnel.idle(trio.current_time()) < idle


# ---- ending one ----


@pytest.mark.parametrize("closer", [Side.PROXY, Side.CLIENT])
async def test_one_tunnel_is_ended_in_order_and_no_other(edge: Edge, closer: Side) -> None:
    calls = [await edge.call(owner=number) for number in range(3)]
    edge.hub.end(edge.hub.views()[1], closer, "operator")
    assert _owners(edge) == [0, 2]
    assert await calls[1].over() == TunnelEnd(closer, "operator")
    assert await calls[1].client.read_to_end() == (b"", Shutdown.EOF)
    assert await calls[1].pod.read_to_end() == (b"", Shutdown.EOF)
    for call in (calls[0], calls[2]):
        await call.client.send(b"hello")
        assert await call.pod.read(5) == b"hello"


async def test_a_tunnel_with_parked_bytes_may_be_ended(edge: Edge) -> None:
    call = await edge.call(pair=small_tcp_pair)
    await edge.park(call.client, bytes(PLENTY))
    edge.hub.end(edge.hub.views()[0], Side.PROXY, "operator")
    assert await call.over() == TunnelEnd(Side.PROXY, "operator")
    assert edge.hub.pipes.in_use == 0


async def test_what_is_over_is_not_ended_again(edge: Edge) -> None:
    call = await edge.call()
    [tunnel] = edge.hub.views()
    edge.hub.end(tunnel, Side.PROXY, "operator")
    edge.hub.end(tunnel, Side.CLIENT, "too late")
    assert await call.over() == TunnelEnd(Side.PROXY, "operator")
    edge.hub.end(tunnel, Side.CLIENT, "too late")
    assert not tunnel.alive


async def test_who_was_given_up_is_not_ended(edge: Edge) -> None:
    call = await edge.call()
    [tunnel] = edge.hub.views()
    call.scope.cancel()
    edge.hub.end(tunnel, Side.PROXY, "operator")
    assert await call.over() in (None, TunnelEnd(Side.PROXY, "operator"))
    edge.hub.end(tunnel, Side.PROXY, "operator")
    assert edge.hub.views() == []


# ---- the 101 is no byte of the tunnel ----


async def test_of_what_goes_to_the_client_the_101_is_not_counted(edge: Edge) -> None:
    call = await edge.call(to_client=_HEAD + b"first frame", uncounted=len(_HEAD))
    await call.client.read(len(_HEAD) + 11)
    await call.pod.send(b"second")
    assert await call.client.read(6) == b"second"
    assert edge.hub.views()[0].to_client == 17
    call.hang_up()
    await call.over()
    assert call.tally == [0, 17]


async def test_early_bytes_to_the_pod_are_counted(edge: Edge) -> None:
    call = await edge.call(to_client=_HEAD, to_pod=b"early", uncounted=len(_HEAD))
    assert await call.pod.read(5) == b"early"
    call.hang_up()
    await call.over()
    assert call.tally == [5, 0]


async def _nothing_leaves(edge: Edge) -> Call:
    """A client whose connection takes nothing more, so that its 101 waits."""
    call = Call(small_tcp_pair(), tcp_pair())
    while True:
        try:
            call.inner[0].send(bytes(1 << 16))
        except BlockingIOError:
            await trio.sleep(0.01)
            try:
                call.inner[0].send(bytes(1 << 16))
            except BlockingIOError:
                return call


async def test_a_tunnel_that_is_cut_within_its_101_has_told_its_client_nothing(edge: Edge) -> None:
    call = await edge.take(await _nothing_leaves(edge), to_client=_HEAD, uncounted=len(_HEAD))
    [tunnel] = edge.hub.views()
    assert tunnel.to_client == 0
    edge.hub.end(tunnel, Side.PROXY, "operator")
    await call.over()
    assert call.tally == [0, 0]


async def test_a_tunnel_that_never_came_to_be_has_counted_nothing(edge: Edge) -> None:
    async def register() -> None:
        raise ZeroDivisionError

    call = await edge.call(to_client=_HEAD, uncounted=len(_HEAD), register=register)
    await call.over()
    assert call.tally == [0, 0]


# ---- those that were another worker's ----


async def test_an_adopted_tunnel_whose_101_has_not_all_left_goes_on_to_count(edge: Edge) -> None:
    call = await edge.call(past=ResumeState(to_pod=7, to_client=-5), owner="adopted")
    [tunnel] = edge.hub.views()
    assert (tunnel.owner, tunnel.to_pod, tunnel.to_client) == ("adopted", 7, 0)
    await call.pod.send(b"d!\r\n\r\nframe")
    await call.client.read(11)
    assert tunnel.to_client == 6
    call.hang_up()
    await call.over()
    assert call.tally == [7, 6]


async def test_an_adopted_tunnel_that_ends_within_its_101_has_told_its_client_nothing(edge: Edge) -> None:
    call = await edge.call(past=ResumeState(to_pod=7, to_client=-5))
    await call.pod.send(b"d!\r")
    await call.client.read(3)
    edge.hub.end(edge.hub.views()[0], Side.PROXY, "operator")
    await call.over()
    assert call.tally == [7, 0]
