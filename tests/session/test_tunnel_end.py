"""What becomes of both legs after the gate, and what is told of a tunnel."""

from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.errors import Side
from splicer.record import Record
from splicer.relay.api import TunnelEnd
from tests.kit.http import read_head
from tests.session.edge import APP, Edge, Spliced, answering, route
from tests.session.message import SWITCHING, UPGRADE, read_answer
from tests.session.wire import Peer

WEBSOCKET = route(upgrade=("websocket",))


@pytest.fixture
async def edge(edge: Edge) -> Edge:
    edge.use(WEBSOCKET)
    return edge


async def test_a_tunnel_is_told_of_when_it_opens_and_when_it_ends(edge: Edge) -> None:
    async def talking(pod: Peer) -> None:
        await read_head(pod)
        await trio.sleep(0.25)
        await pod.send(SWITCHING + b"abc")
        await pod.exactly(7)
        await trio.sleep(60)
        await pod.send(b"de")
        pod.end.close()

    edge.use(route(name="calls", upgrade=("websocket",)))
    edge.pods[APP] = talking
    client = await edge.ask(UPGRADE + b"1234")
    await read_answer(client)
    await client.send(b"567")
    await wait_all_tasks_blocked()
    [opened] = edge.told.opened
    assert (len(edge.context.balancer.loads), edge.context.balancer.loads.live((APP, 8000))) == (1, 1)
    assert edge.context.counts.writing == 1
    assert (await client.rest()) == b"abcde"
    await edge.idle()
    [closed] = edge.told.closed
    assert edge.told.ended == []
    for record in (opened, closed):
        assert (record.route, record.status, record.protocol) == ("calls", 101, "websocket")
        assert (record.upstream, str(record.endpoint), record.target) == ("app", f"{APP}:8000", "app.test:8000/ws")
        assert record.parts.handshake == pytest.approx(0.25)
    assert opened.closer is None
    assert (closed.id, closed.to_pod, closed.to_client) == (opened.id, 7, 5)
    assert closed.close_reason == "eof"


@pytest.mark.parametrize(
    ("end", "client_end", "pod_end"),
    [
        (TunnelEnd(Side.CLIENT, "eof"), "close", "close"),
        (TunnelEnd(Side.POD, "eof"), "close", "close"),
        (TunnelEnd(Side.CLIENT, "eof", shut=Side.POD), "close", "ended"),
        (TunnelEnd(Side.POD, "eof", shut=Side.CLIENT), "ended", "close"),
        (TunnelEnd(Side.PROXY, "idle"), "close", "close"),
        (TunnelEnd(Side.CLIENT, "reset", reset=True), "close", "reset"),
        (TunnelEnd(Side.POD, "reset", reset=True), "reset", "close"),
    ],
)
async def test_both_legs_end_as_the_tunnel_did(edge: Edge, end: TunnelEnd, client_end: str, pod_end: str) -> None:
    async def ending(call: Spliced) -> TunnelEnd:
        call.counts.to_pod, call.counts.to_client = 5, len(call.to_client) + 7
        return end

    edge.on_splice = ending
    edge.pods[APP] = answering(SWITCHING)
    await edge.ask(UPGRADE)
    await edge.idle()
    assert [stream.ended for stream in edge.streams] == [client_end, pod_end]
    [closed] = edge.told.closed
    assert (closed.closer, closed.close_reason) == (end.closer, end.reason)
    assert (closed.to_pod, closed.to_client) == (5, 7)


async def test_the_101_does_not_count_and_the_hub_shows_the_record(edge: Edge) -> None:
    edge.pods[APP] = answering(SWITCHING)
    (await edge.ask(UPGRADE)).end.close()
    await edge.idle()
    [call] = edge.spliced
    assert call.uncounted == len(call.to_client) > 60
    assert isinstance(call.owner, Record)
    assert call.owner.id == edge.told.closed[0].id


async def test_no_descriptor_for_a_pipe(edge: Edge) -> None:
    edge.starved = OSError(errno.EMFILE, "Too many open files")
    edge.pods[APP] = answering(SWITCHING)
    told = await read_answer(await edge.ask(UPGRADE))
    assert (told.status, told.get("Retry-After") is not None, told.get("Connection")) == (503, True, "close")
    assert (edge.told.opened, edge.told.closed) == ([], []), "it was never a tunnel"
    ended = edge.record
    assert (ended.status, ended.closer, ended.close_reason) == (503, "proxy", "no_descriptor")
    assert "Too many open files" in (ended.detail or "")


async def test_no_other_answer_follows_a_101(edge: Edge) -> None:
    async def failing(call: Spliced) -> TunnelEnd:
        raise OSError(errno.ENOSPC, "No space left on device")  # by the epoll, say

    edge.on_splice = failing
    edge.expect_crash = True
    edge.pods[APP] = answering(SWITCHING)
    client = await edge.ask(UPGRADE)
    assert await client.rest() == b""
    [closed] = edge.told.closed
    assert (closed.status, closed.close_reason, edge.told.ended) == (101, "crash", [])
    assert len(edge.told.opened) == len(edge.told.crashes) == 1


async def test_a_crash_in_a_tunnel_is_told_with_its_id(edge: Edge) -> None:
    async def crashing(call: Spliced) -> TunnelEnd:
        raise ZeroDivisionError

    edge.on_splice = crashing
    edge.expect_crash = True
    edge.pods[APP] = answering(SWITCHING)
    client = await edge.ask(UPGRADE)
    await client.rest()
    [(address, record, error)] = edge.told.crashes
    assert (address, type(error)) == ("192.0.2.7", ZeroDivisionError)
    assert record is not None
    assert record.id == edge.told.opened[0].id == edge.told.closed[0].id
    assert edge.told.closed[0].close_reason == "crash"


async def test_stopping_ends_a_tunnel(edge: Edge) -> None:
    edge.pods[APP] = answering(SWITCHING)
    client = await edge.ask(UPGRADE)
    await read_answer(client)
    edge.stop()
    assert await client.rest() == b""
    assert (edge.told.closed[0].closer, edge.told.closed[0].close_reason) == ("proxy", "shutdown")
    assert [stream.ended for stream in edge.streams] == ["close", "close"]
