"""The demo's HTTP, on real sockets: its server with any client, its client with any server."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import h11
import pytest
import trio
from trio.testing import MockClock

from splicer.demo.failure import DemoFailed
from splicer.demo.web import Answer, Request, fetch, listening, serve
from tests.kit.wire import Wire, dial, request

_HOST = "127.0.0.1"


def _tell(asked: Request) -> Answer:
    told = {"method": asked.method, "target": asked.target, "path": asked.path, "body": asked.body.decode("latin-1")}
    return Answer.of(told | {"headers": dict(asked.headers)}, status=201)


@asynccontextmanager
async def _serving(take_call: object = None) -> AsyncIterator[tuple[str, int]]:
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(serve, "it", _HOST, 0, _tell, take_call)
        yield listener.socket.getsockname()
        nursery.cancel_scope.cancel()


# ---- the server ----


async def test_a_request_is_told_whole_and_a_connection_serves_several() -> None:
    async with _serving() as address, dial(address) as wire:
        for body in (b"", b"a=b\xff", b"x" * 100_000):
            await wire.send(request("POST", "/a%2Fb?c=d", "X-Two: 1", body=body))
            answer = await wire.reply()
            assert (answer.line, answer.get("Content-Type")) == ("HTTP/1.1 201 Created", "application/json")
            told = json.loads(answer.body)
            assert (told["method"], told["target"], told["path"]) == ("POST", "/a%2Fb?c=d", "/a%2Fb")
            assert (told["body"].encode("latin-1"), told["headers"]["x-two"]) == (body, "1")


async def test_a_body_in_chunks_is_put_together() -> None:
    async with _serving() as address, dial(address) as wire:
        await wire.send(request("POST", "/", "Transfer-Encoding: chunked") + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        assert json.loads((await wire.reply()).body)["body"] == "abc"


async def test_head_is_answered_without_a_body() -> None:
    async with _serving() as address, dial(address) as wire:
        await wire.send(request("HEAD", "/") + request("GET", "/again"))
        assert int((await wire.reply("HEAD")).get("Content-Length") or 0) > 10
        assert json.loads((await wire.reply()).body)["target"] == "/again"


async def test_a_client_that_wants_no_more_is_closed() -> None:
    async with _serving() as address, dial(address) as wire:
        await wire.send(request("GET", "/", "Connection: close"))
        await wire.reply()
        assert await wire.rest() == b""


@pytest.mark.parametrize("begun", [b"", b"GET / HT", request("POST", "/", body=b"abc")[:-1]])
async def test_a_silent_client_is_left_after_75_seconds(begun: bytes, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0.02
    async with _serving() as address, await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(begun)
        at = trio.current_time()
        assert await stream.receive_some() == b""
        assert trio.current_time() - at == pytest.approx(75, abs=0.1)


async def test_garbage_ends_its_own_connection_alone() -> None:
    async with _serving() as address, dial(address) as other:
        async with dial(address) as wire:
            await wire.send(b"\x16\x03\x01 rubbish\r\n\r\n")
            assert await wire.end() in ("eof", "reset")
        await other.send(request("GET", "/"))
        assert (await other.reply()).line == "HTTP/1.1 201 Created"


@pytest.mark.parametrize("word", ["websocket", "WebSocket"])
async def test_a_handshake_is_handed_over_unanswered(word: str) -> None:
    async def take(stream: trio.abc.Stream) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await stream.receive_some(1000)
        await stream.send_all(b"taken: " + head)

    handshake = request("GET", "/call", f"Upgrade: {word}", "Connection: Upgrade")
    async with _serving(take) as address, dial(address) as wire:
        await wire.send(request("GET", "/"))
        await wire.reply()
        await wire.send(handshake)
        assert await wire.rest() == b"taken: " + handshake


# It would be no server of calls otherwise, such as the router.
async def test_without_a_taker_of_calls_a_handshake_is_a_request() -> None:
    async with _serving() as address, dial(address) as wire:
        await wire.send(request("GET", "/call", "Upgrade: websocket", "Connection: Upgrade"))
        assert (await wire.reply()).line == "HTTP/1.1 201 Created"


def test_an_address_in_use_is_told_with_what_to_do() -> None:
    with socket.create_server((_HOST, 0)) as taken:
        port = taken.getsockname()[1]
        for more, remedy in (((), "is another demo running?"), (("take another",), "take another")):
            with pytest.raises(DemoFailed) as failed:
                listening("the edge", _HOST, port, *more)
            assert failed.value.detail == f"the edge: {_HOST}:{port}: Address already in use; {remedy}"


# ---- the client ----


async def _fetched(answer: bytes, body: bytes = b"") -> tuple[bytes, Answer]:
    """What a server that says `answer` gets, and what is made of it."""
    heard = b""

    async def serve_one(stream: trio.SocketStream) -> None:
        nonlocal heard
        async with stream:
            message = await Wire(stream).request()
            heard = message.line.encode() + b"|" + message.body
            await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve_one, 0, host=_HOST))
        port = listener.socket.getsockname()[1]
        with trio.fail_after(10):
            try:
                found = await fetch(f"{_HOST}:{port}", "POST", "/x?y", body)
            finally:
                nursery.cancel_scope.cancel()
    return heard, found


async def test_an_answer_is_read_whole() -> None:
    head = b"HTTP/1.1 418 Teapot\r\nContent-Type: text/x\r\n"
    for tail, expected in (
        (b"Content-Length: 3\r\n\r\nabc", b"abc"),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (b"\r\nall until the end", b"all until the end"),
    ):
        heard, found = await _fetched(head + tail, b"a=b")
        assert heard == b"POST /x?y HTTP/1.1|a=b"
        assert found == Answer(418, "text/x", expected)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"]
)
async def test_half_an_answer_is_none(answer: bytes) -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        await _fetched(answer)
    assert raised.group_contains(h11.RemoteProtocolError)


async def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind((_HOST, 0))
        with pytest.raises(OSError, match=re.escape(f"{unused.getsockname()[1]}")):
            await fetch(f"{_HOST}:{unused.getsockname()[1]}", "GET", "/")
