"""What holds whatever anybody sends: a status line or a close, no crash, and nobody gets what is another's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.model import Respond
from tests.kit.http import Message, read_request
from tests.kit.laws import examples
from tests.session.edge import APP, SPARE, Edge, Script, answering, fallback_route, open_edge, route
from tests.session.message import GET, OK, POST, SWITCHING, UPGRADE, read_answer
from tests.session.wire import Peer, StreamEnded

pieces = st.lists(st.integers(1, 200), max_size=20)

CLIENT_WORDS = st.sampled_from(
    [
        GET,
        POST,
        UPGRADE,
        POST[:-2],
        b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /x HTTP/1.0\r\n\r\n",
        b"GET /%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"\r\n",
        b"Host: a\r\n",
        b"Content-Length: 5\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\x81\x05hello",
    ]
)
POD_WORDS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 204 No\r\n",
        b"HTTP/1.1 503 Busy\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n@@",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n@@\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n@@",
        b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        SWITCHING,
        b"Content-Length: 2\r\n",
        b"Content-Length: 4\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"@@",
        b"2\r\n@@\r\n",
        b"0\r\n\r\n",
    ]
)
client_bytes = st.lists(CLIENT_WORDS | st.binary(max_size=20), max_size=8).map(b"".join)
pod_bytes = st.lists(POD_WORDS | st.binary(max_size=20), max_size=6).map(b"".join)


def in_virtual_time(test: Callable[[Edge], Awaitable[None]]) -> None:
    async def main() -> None:
        async with open_edge(
            route("path", "/health", respond=Respond(200, b"healthy\n")), fallback_route(upgrade=("websocket",))
        ) as edge:
            await test(edge)

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def send_in_pieces(peer: Peer, data: bytes, sizes: list[int]) -> None:
    for size in sizes:
        await peer.send(data[:size])
        data = data[size:]
        await trio.sleep(0.01)
    await peer.send(data)


async def all_answers(client: Peer) -> tuple[list[Message], bytes]:
    """The answers that are whole, up to a 101, and what came after them."""
    answers: list[Message] = []
    whole = 0  # bytes of whole answers
    with trio.move_on_after(200):
        try:
            while not (answers and answers[-1].status == 101):
                answers.append(await read_answer(client))
                whole = len(client.heard) - len(client.read)
        except (StreamEnded, trio.BrokenResourceError):
            pass
    return answers, bytes(client.heard[whole:])


@given(sent=client_bytes, sizes=pieces, pod=st.sampled_from([OK, SWITCHING, b""]), half_close=st.booleans())
def test_any_bytes_of_a_client_are_answered_or_end_the_connection(
    sent: bytes, sizes: list[int], pod: bytes, half_close: bool
) -> None:
    async def test(edge: Edge) -> None:
        script = answering(pod, times=1, close=True) if pod is SWITCHING else answering(pod)
        edge.pods |= {APP: script, SPARE: script}
        client = edge.connect()
        with suppress(trio.BrokenResourceError):
            await send_in_pieces(client, sent, sizes)
        if half_close:
            client.end.send_eof()
        received = b""
        try:
            received = await client.rest()
        except trio.BrokenResourceError:
            received = bytes(client.read)
        assert received == b"" or received.startswith(b"HTTP/1.1 ")
        await edge.idle()

    in_virtual_time(test)


TOKENS = [b"AA", b"BB", b"CC"]


def answering_each(raws: list[bytes], sizes: list[int], close: bool) -> Script:
    left = list(raws)

    async def script(pod: Peer) -> None:
        while left:
            request = await read_request(pod)
            if not left:  # another connection has sent the last one
                break
            token = request.line.split(" ")[1][1:].encode()
            await send_in_pieces(pod, left.pop(0).replace(b"@@", token), sizes)
        if close:
            pod.end.close()

    return script


@settings(max_examples=examples(150))
@given(raws=st.lists(pod_bytes, min_size=1, max_size=5), sizes=pieces, close=st.booleans(), method=st.booleans())
def test_nobody_gets_what_is_anothers(raws: list[bytes], sizes: list[int], close: bool, method: bool) -> None:
    async def test(edge: Edge) -> None:
        script = answering_each(raws, sizes, close)
        edge.pods |= {APP: script, SPARE: script}
        requests = [
            b"%s /%s HTTP/1.1\r\nHost: a\r\n%s\r\n"
            % ((b"GET", token, b"") if method else (b"PUT", token, b"Content-Length: 0\r\n"))
            for token in TOKENS
        ]
        client = await edge.ask(b"".join(requests))
        answers, rest = await all_answers(client)
        finals = [message for message in answers if message.status >= 200]
        for token, message in zip(TOKENS, finals, strict=False):
            others = set(TOKENS) - {token}
            assert not any(other in message.body for other in others), (token, message)
        begun = TOKENS[len(finals) : len(finals) + 1]
        assert not any(token in rest for token in TOKENS if token not in begun), rest
        assert len(finals) <= len(TOKENS)
        client.end.close()

    in_virtual_time(test)


@settings(max_examples=examples(100))
@given(raw=pod_bytes, sizes=pieces, close=st.booleans(), request_bytes=st.sampled_from([GET, POST, UPGRADE]))
def test_any_bytes_of_a_pod_are_an_answer_or_a_cut(
    raw: bytes, sizes: list[int], close: bool, request_bytes: bytes
) -> None:
    async def pod(peer: Peer) -> None:
        await read_request(peer)
        await send_in_pieces(peer, raw, sizes)
        if close:
            peer.end.close()

    async def test(edge: Edge) -> None:
        edge.pods |= {APP: pod, SPARE: pod}
        client = await edge.ask(request_bytes)
        answers, _ = await all_answers(client)
        if edge.told.opened:
            assert answers[-1].status == 101
            await trio.sleep(10)
            passed = client.at_hand()
            assert passed == raw[len(SWITCHING) :] if raw.startswith(SWITCHING) else raw.endswith(passed)
            return
        assert answers == [] or answers[-1].status >= 200
        assert not raw.startswith(SWITCHING) or request_bytes != UPGRADE
        assert len(edge.told.ended) == 1
        client.end.close()

    in_virtual_time(test)
