"""What a pod and the router of the demo answer to whoever tries them by hand, without the edge between."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio_websocket import open_websocket_url

from splicer.demo.pod import Pod
from splicer.demo.web import fetch
from tests.kit.wire import dial

_HOST = "127.0.0.30"
_ADDRESS = f"{_HOST}:8000"
_HANDSHAKE = (
    b"GET /x HTTP/1.1\r\nHost: pod\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_HELLO = b"\x81\x85\0\0\0\0hello"  # a masked text frame (RFC 6455 §5.2)


@asynccontextmanager
async def running_pod() -> AsyncIterator[Pod]:
    pod = Pod("voice-agent-9", _HOST)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(pod.run)
            yield pod
            nursery.cancel_scope.cancel()


async def test_any_message_is_echoed_and_a_call_is_told_of() -> None:
    media = json.dumps({"event": "media", "media": {"payload": ""}})
    async with running_pod():
        async with open_websocket_url(f"ws://{_ADDRESS}/a%2Fb?c=d") as websocket:
            for message in ("hello", b"\x00\xff", "[1]", "[" * 100_000, '{"event": ["x"]}', media):
                await websocket.send_message(message)
                assert await websocket.get_message() == message
        calls = json.loads((await fetch(_ADDRESS, "GET", "/calls")).body)["calls"]
    assert calls == [{"path": "/a%2Fb?c=d", "client": None, "fallback_from": None, "frames": 1}]


async def test_a_connection_may_serve_requests_and_then_a_call() -> None:
    async with running_pod(), dial((_HOST, 8000)) as wire:
        await wire.send(b"HEAD /health HTTP/1.1\r\nHost: pod\r\n\r\n" + _HANDSHAKE)
        assert (await wire.reply("HEAD")).line == "HTTP/1.1 200 OK"
        switched = await wire.reply()
        assert switched.line == "HTTP/1.1 101 Switching Protocols"
        assert switched.get("X-Pod") == "voice-agent-9"
        await wire.send(_HELLO)
        assert await wire.exactly(7) == b"\x81\x05hello"


@pytest.mark.parametrize(
    "nonsense",
    [
        b"rubbish\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
        _HANDSHAKE.replace(b"13", b"12"),
        _HANDSHAKE + b"\xff\xff\xff\xff",
        _HANDSHAKE + _HELLO[:3],
        _HANDSHAKE + _HELLO * 1000,
    ],
)
@pytest.mark.parametrize("linger", [struct.pack("ii", 0, 0), struct.pack("ii", 1, 0)], ids=["closed", "reset"])
async def test_nonsense_ends_only_its_own_connection(nonsense: bytes, linger: bytes) -> None:
    async with running_pod():
        async with await trio.open_tcp_stream(_HOST, 8000) as stream:
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, linger)
            await stream.send_all(nonsense)
            with trio.move_on_after(0.02):
                await stream.receive_some(1000)
        answer = await fetch(_ADDRESS, "GET", "/health")
        assert (answer.status, json.loads(answer.body)) == (200, {"pod": "voice-agent-9", "status": "ok"})


async def test_a_stopped_pod_cuts_its_calls_and_listens_no_more() -> None:
    async with running_pod() as pod, dial((_HOST, 8000)) as wire:
        await wire.send(_HANDSHAKE)
        await wire.head()
        await pod.stop()
        assert await wire.some() == b""
        with pytest.raises(OSError, match="failed"):
            await trio.open_tcp_stream(_HOST, 8000)
