"""In this process: what needs a clock of its own, or a bug."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import AsyncExitStack

import pytest
import trio
from trio.testing import MockClock

from splicer.admin.dispatch import Handler, Page, Refused, Request, Table
from splicer.errors import BadRequest, SplicerError
from splicer.model import Respond
from tests.admin.served import serving, to_the_end
from tests.kit.descriptors import no_more_descriptors, none_left_open

_AUTOJUMP_THRESHOLD = 0.05  # real seconds in which nothing happens, after which the clock jumps
ASK = b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def _fine(_: Request) -> Respond:
    return Respond(200, b"fine\n")


def _page(handle: Handler) -> Table:
    return {"/page": {"GET": Page(handle)}}


async def test_a_bug_ends_one_connection_and_is_logged_once() -> None:
    async def broken(_: Request) -> Respond:
        raise ZeroDivisionError("a bug")

    with none_left_open():
        async with serving({**_page(_fine), "/broken": {"GET": Page(broken)}}) as served:
            async with await served.connect() as other, await served.connect() as stream:
                await other.send_all(ASK)
                assert (await other.receive_some()).endswith(b"\r\nfine\n")
                await stream.send_all(ASK.replace(b"/page", b"/broken"))
                assert await to_the_end(stream) == b""
                await other.send_all(ASK)
                assert (await other.receive_some()).endswith(b"\r\nfine\n")
            (line,) = served.logged()
            assert (line["event"], line["client"], line["error"]) == (
                "crash",
                "127.0.0.1",
                "ZeroDivisionError('a bug')",
            )
            assert "Traceback" in line["traceback"]


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (SplicerError(), 500, "error"),
        (BadRequest("no such thing"), 400, "no such thing"),
        (Refused(409, "not now"), 409, "not now"),
    ],
)
async def test_what_a_page_refuses_is_told(error: Exception, status: int, told: str) -> None:
    async def refusing(_: Request) -> Respond:
        raise error

    async with serving(_page(refusing)) as served, await served.connect() as stream:
        for _ in range(2):  # on the same connection
            await stream.send_all(ASK)
            answer = await stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert answer.endswith(b'\r\n\r\n{"error": "%s"}\n' % told.encode())
        assert served.logged() == []


async def test_no_request_hangs(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD

    async def hanging(_: Request) -> Respond:
        await trio.sleep_forever()
        return Respond(200)

    async with serving(_page(hanging)) as served, await served.connect() as stream:
        await stream.send_all(ASK)
        answer = await stream.receive_some()
        assert trio.current_time() == pytest.approx(10)
        assert answer.startswith(b"HTTP/1.1 504 ")
        assert answer.endswith(b'\r\n\r\n{"error": "no answer within 10 s"}\n')
        assert served.logged() == []


async def test_one_that_takes_its_time_delays_no_other() -> None:
    may_go_on = trio.Event()

    async def slow(_: Request) -> Respond:
        await may_go_on.wait()
        return Respond(200, b"slow\n")

    async with (
        serving({**_page(slow), "/fine": {"GET": Page(_fine)}}) as served,
        await served.connect() as first,
        await served.connect() as second,
    ):
        await first.send_all(ASK)
        await second.send_all(ASK.replace(b"/page", b"/fine"))
        assert (await second.receive_some()).endswith(b"\r\nfine\n")
        may_go_on.set()
        assert (await first.receive_some()).endswith(b"\r\nslow\n")


async def test_a_slow_reader_gets_all_of_a_large_answer(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    large = b"x" * (16 << 20)

    async def page(_: Request) -> Respond:
        return Respond(200, large)

    async with serving(_page(page)) as served, await served.connect() as stream:
        await stream.send_all(ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        data = b""
        while part := await stream.receive_some(4 << 20):
            data += part
            await trio.sleep(1)
        assert data.endswith(large)
        assert trio.current_time() > 5


@pytest.mark.parametrize(
    ("begun", "closed_after", "answer"),
    [
        (b"", 10, b""),
        (b"\r\n", 10, b""),
        (b"GET /page HTTP/1.1\r\nHost:", 10, b"HTTP/1.1 408 "),
        (ASK, 75, b"HTTP/1.1 200 "),
        (ASK + b"G", 10, b"HTTP/1.1 200 "),
    ],
)
async def test_who_says_nothing_more_is_let_go(
    begun: bytes, closed_after: float, answer: bytes, mock_clock: MockClock
) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with serving(_page(_fine)) as served, await served.connect() as stream:
        await stream.send_all(begun)
        assert (await to_the_end(stream))[:13] == answer
        assert trio.current_time() == pytest.approx(closed_after)
        assert served.logged() == []


async def test_a_head_that_trickles_in_has_no_more_time(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with serving(_page(_fine)) as served, await served.connect() as stream:
        for byte in ASK[:9]:
            await stream.send_all(bytes([byte]))
            await trio.sleep(1)
        assert (await to_the_end(stream)).startswith(b"HTTP/1.1 408 ")
        assert trio.current_time() == pytest.approx(10)


async def test_who_does_not_read_its_answer_is_let_go(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    large = b"x" * (64 << 20)  # more than any socket buffer

    async def page(_: Request) -> Respond:
        return Respond(200, large)

    async with serving(_page(page)) as served, await served.connect() as stream:
        await stream.send_all(ASK)
        await trio.sleep(6)
        assert 0 < len(await to_the_end(stream)) < len(large)
        assert trio.current_time() == pytest.approx(6)
        assert served.logged() == []


@pytest.mark.slow
async def test_without_descriptors_it_waits_and_says_so_once(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with serving(_page(_fine)) as served, await served.connect() as first:
        await first.send_all(ASK)  # so that it is accepted
        await first.receive_some()
        second = socket.socket()
        second.setblocking(False)
        with no_more_descriptors():
            second.connect_ex(served.address)
            await trio.sleep(5)
        async with trio.SocketStream(trio.socket.from_stdlib_socket(second)) as stream:
            await stream.send_all(ASK)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        (line,) = served.logged()
        assert (line["event"], line["error"]) == ("accept_backs_off", os.strerror(errno.EMFILE))


LARGE = b"x" * (16 << 20)  # more than a socket takes


async def _large(_: Request) -> Respond:
    return Respond(200, LARGE)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /page HTT",
        b"POST /page HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{",
        b"GET /page HTTP/1.0\r\nHost: localhost\r\n\r\n",
        ASK.replace(b"/page", b"/none"),
        ASK.replace(b"/page", b"/large"),
    ],
    ids=["silent", "half a head", "half a body", "answered, and stays", "refused, and stays", "does not read"],
)
async def test_no_client_keeps_another_out(begun: bytes) -> None:
    table = {"/page": {"GET": Page(_fine), "POST": Page(_fine, body=frozenset())}, "/large": {"GET": Page(_large)}}
    async with serving(table) as served, AsyncExitStack() as stack:
        for _ in range(100):
            held = await stack.enter_async_context(await served.connect())
            await held.send_all(begun)
        for _ in range(3):
            async with await served.connect() as stream:
                await stream.send_all(ASK)
                assert (await stream.receive_some()).endswith(b"\r\nfine\n")


async def test_who_takes_its_answer_slowly_is_not_the_one_that_leaves() -> None:
    """Who is waited for longest is: each piece that was taken begins the wait anew."""
    table = {"/page": {"GET": Page(_fine)}, "/large": {"GET": Page(_large)}}
    async with serving(table) as served, AsyncExitStack() as stack:
        reader = await stack.enter_async_context(await served.connect())
        await reader.send_all(ASK.replace(b"/page", b"/large"))
        data = await reader.receive_some()
        for _ in range(100):
            held = await stack.enter_async_context(await served.connect())
            await held.send_all(ASK)
            await held.receive_some()
            data += await reader.receive_some(1 << 16)
        while len(data) < len(LARGE):
            data += await reader.receive_some(1 << 20)


async def test_some_pages_are_answered_however_many_others_are_being_handled() -> None:
    handled = 0
    may_go_on = trio.Event()

    async def slow(_: Request) -> Respond:
        nonlocal handled
        handled += 1
        await may_go_on.wait()
        return Respond(200, b"slow\n")

    table = {**_page(slow), "/healthz": {"GET": Page(_fine, at_once=True)}, "/fine": {"GET": Page(_fine)}}
    async with serving(table) as served, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await served.connect()) for _ in range(60)]
        for client in clients:
            await client.send_all(ASK)
        async with await served.connect() as stream:
            with trio.fail_after(10):
                while handled < 48:  # noqa: ASYNC110 - a counter of requests that come at their own pace
                    await trio.sleep(0.01)
            await stream.send_all(ASK.replace(b"/page", b"/fine"))
            refusal = await stream.receive_some()
            assert refusal.startswith(b"HTTP/1.1 503 ")
            assert refusal.endswith(b'{"error": "48 requests are being handled: ask again"}\n')
            await stream.send_all(ASK.replace(b"/page", b"/healthz"))
            assert (await stream.receive_some()).endswith(b"\r\nfine\n")
        may_go_on.set()
        answers = [await client.receive_some() for client in clients]
        assert sum(answer.endswith(b"slow\n") for answer in answers) == handled == 48
        async with await served.connect() as stream:
            await stream.send_all(ASK.replace(b"/page", b"/fine"))
            assert (await stream.receive_some()).endswith(b"\r\nfine\n")
