"""Calls by trio-websocket: what a client says is what its pod hears, and the other way round."""

from __future__ import annotations

import hashlib
import random

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection
from wsproto.frame_protocol import FrameProtocol, Opcode

from tests.kit.calls import call, tunnel
from tests.kit.edge import Edge
from tests.kit.pods import tunnel_pod, ws_pod
from tests.kit.wire import until


@pytest.fixture
def edge(plain_edge: Edge) -> Edge:
    return plain_edge


async def test_messages_of_every_kind_come_back_as_they_were(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await ws_pod(nursery, place.address, place.port)
    messages: list[str | bytes] = ["", b"", "text", "नमस्ते 🎙", bytes(range(256)), b"\x88\x00\x89\x00\r\n\r\n"]
    messages += [random.randbytes(size) for size in (125, 126, 65535, 65536, 1 << 20, 5 << 20)]
    async with call(edge, f"/ws/{place.name}/x") as provider:
        for message in messages:
            await provider.send_message(message)
            assert await provider.get_message() == message


async def test_a_message_in_fragments_with_a_ping_among_them(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    heard: list[str | bytes] = []

    async def listen(pod: WebSocketConnection) -> None:
        heard.append(await pod.get_message())
        await pod.send_message("heard")

    await ws_pod(nursery, place.address, place.port, listen)
    frames = FrameProtocol(client=True, extensions=[])
    async with tunnel(edge, f"/ws/{place.name}/x") as wire:
        await wire.send(bytes(frames.send_data(b"one ", fin=False)))
        await wire.send(bytes(frames.ping(b"between")))
        frames.receive_bytes(await wire.some())
        (pong,) = frames.received_frames()
        assert (pong.opcode, pong.payload) == (Opcode.PONG, b"between")
        last = frames.send_data(b"two ", fin=False) + frames.send_data(b"three", fin=True)
        for byte in last:
            await wire.send(bytes([byte]))
        frames.receive_bytes(await wire.some())
        assert next(iter(frames.received_frames())).payload == "heard"
    assert heard == [b"one two three"]


async def test_pings_of_either_side_get_their_pongs(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    answered: list[bytes] = []

    async def ask_back(pod: WebSocketConnection) -> None:
        await pod.ping(b"from the pod")
        answered.append(b"from the client")
        await pod.send_message("done")
        # trio-websocket fails if it has to answer a ping after it has sent its close frame.
        assert await pod.get_message() == "done, too"

    await ws_pod(nursery, place.address, place.port, ask_back)
    async with call(edge, f"/ws/{place.name}/x") as provider:
        await provider.ping(b"from the client")
        assert await provider.get_message() == "done"
        await provider.send_message("done, too")
    assert answered


async def test_the_subprotocol_is_agreed_between_client_and_pod(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await ws_pod(nursery, place.address, place.port, subprotocol="audio.v2")
    async with call(edge, f"/ws/{place.name}/x", subprotocols=["audio.v1", "audio.v2"]) as provider:
        assert provider.subprotocol == "audio.v2"
        await provider.send_message("hello")
        assert await provider.get_message() == "hello"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going away"), (1011, "pod error"), (4321, "hung up")])
@pytest.mark.parametrize("closer", ["client", "pod"])
async def test_close_codes_pass(edge: Edge, nursery: trio.Nursery, closer: str, code: int, reason: str) -> None:
    place = edge.site.take()
    told: list[tuple[int, str | None]] = []

    async def end(connection: WebSocketConnection, mine: bool) -> None:
        if mine:
            await connection.send_message("last words")
            await connection.aclose(code, reason)
            return
        assert await connection.get_message() == "last words"
        with pytest.raises(ConnectionClosed) as closed:
            await connection.get_message()
        assert closed.value.reason is not None
        told.append((closed.value.reason.code, closed.value.reason.reason or ""))

    await ws_pod(nursery, place.address, place.port, lambda pod: end(pod, closer == "pod"))
    async with call(edge, f"/ws/{place.name}/x") as provider:
        await end(provider, closer == "client")
    await until(lambda: told == [(code, reason)])
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert (line["status"], line["reason"]) == (101, "eof")


async def test_a_pod_may_speak_first_and_without_end(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def talk(pod: WebSocketConnection) -> None:
        for n in range(200):
            await pod.send_message(bytes(160) + b"%d" % n)

    await ws_pod(nursery, place.address, place.port, talk)
    async with call(edge, f"/ws/{place.name}/x") as provider:
        for n in range(200):
            assert await provider.get_message() == bytes(160) + b"%d" % n
        with pytest.raises(ConnectionClosed):
            await provider.get_message()


async def test_a_hundred_calls_at_once_keep_their_bytes_apart(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    other = edge.site.take()
    for each in (place, other):
        await ws_pod(nursery, each.address, each.port)
    done = 0

    async def talk(number: int) -> None:
        nonlocal done
        chance = random.Random(number)
        name = (place, other)[number % 2].name
        async with call(edge, f"/ws/{name}/{number}") as provider:
            for _ in range(20):
                frame = chance.randbytes(chance.randint(160, 640))
                await provider.send_message(frame)
                assert await provider.get_message() == frame
        done += 1

    async with trio.open_nursery() as calls:
        for number in range(100):
            calls.start_soon(talk, number)
    assert done == 100
    lines = await edge.wait_lines(100, "tunnel_close", route="ws", upstream="pod")
    assert len({line["id"] for line in lines}) == len(lines)


async def test_thousands_of_random_bytes_both_ways_at_once(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    size = 8 << 20
    sent, got = hashlib.sha256(), hashlib.sha256()

    async with tunnel(edge, f"/ws/{place.name}/x") as wire, trio.open_nursery() as both:

        async def speak() -> None:
            left, chance = size, random.Random(1)
            while left:
                piece = chance.randbytes(min(left, chance.choice((1, 160, 640, 4096, 100_000))))
                sent.update(piece)
                left -= len(piece)
                await wire.send(piece)
                if chance.random() < 0.05:
                    await trio.sleep(0.001)
            await wire.send_eof()

        both.start_soon(speak)
        got.update(await wire.rest())
    assert got.digest() == sent.digest()
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert line["bytes_to_pod"] == line["bytes_to_client"] == size
