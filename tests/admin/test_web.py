"""In this process: what needs a clock of its own, or a bug."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from splicer.admin.pages import Page
from splicer.admin.web import Web
from splicer.control.lines import LineWriter
from splicer.control.log import make_logger
from splicer.errors import SplicerError
from splicer.model import Respond
from splicer.net.bind import bind
from tests.descriptors import no_more_descriptors, none_left_open

_JUMP = 0.05  # real seconds in which nothing happens, after which the clock jumps
ASK = b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Served:
    """A `Web` that is serving, and what it logs."""

    def __init__(self, address: tuple[str, int], lines: LineWriter, read: int) -> None:
        self.address = address
        self._lines = lines
        self._read = read

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(*self.address)

    def logged(self) -> list[dict[str, Any]]:
        """All that was logged; no more can be."""
        self._lines.close()
        os.set_blocking(self._read, False)
        try:
            return [json.loads(line) for line in os.read(self._read, 1 << 16).splitlines()]
        except BlockingIOError:
            return []


@asynccontextmanager
async def _serving(pages: Mapping[str, Page]) -> AsyncIterator[Served]:
    read, write = os.pipe()
    lines = LineWriter(write)
    try:
        with bind("127.0.0.1", 0) as listener:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Web(pages, make_logger(lines, "json")).serve, [listener])
                yield Served(listener.getsockname(), lines, read)
                nursery.cancel_scope.cancel()
    finally:
        lines.close()
        os.close(read)
        os.close(write)


def _fine() -> Respond:
    return Respond(200, b"fine\n")


async def _to_the_end(stream: trio.SocketStream) -> bytes:
    data = b""
    while part := await stream.receive_some():
        data += part
    return data


async def test_a_bug_ends_one_connection_and_is_logged_once() -> None:
    def broken() -> Respond:
        raise ZeroDivisionError("a bug")

    with none_left_open():
        async with _serving({"/page": _fine, "/broken": broken}) as served:
            async with await served.connect() as other, await served.connect() as stream:
                await other.send_all(ASK)
                assert (await other.receive_some()).endswith(b"\r\nfine\n")
                await stream.send_all(ASK.replace(b"/page", b"/broken"))
                assert await _to_the_end(stream) == b""
                await other.send_all(ASK)
                assert (await other.receive_some()).endswith(b"\r\nfine\n")
            (line,) = served.logged()
            assert (line["event"], line["client"], line["error"]) == (
                "crash",
                "127.0.0.1",
                "ZeroDivisionError('a bug')",
            )
            assert "Traceback" in line["traceback"]


async def test_what_a_page_refuses_is_told() -> None:
    def refusing() -> Respond:
        raise SplicerError

    async with _serving({"/page": refusing}) as served, await served.connect() as stream:
        await stream.send_all(ASK)
        assert (await stream.receive_some()).endswith(b'\r\n\r\n{"error": "internal server error"}\n')
        assert served.logged() == []


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
    mock_clock.autojump_threshold = _JUMP
    async with _serving({"/page": _fine}) as served, await served.connect() as stream:
        await stream.send_all(begun)
        assert (await _to_the_end(stream))[:13] == answer
        assert trio.current_time() == pytest.approx(closed_after)
        assert served.logged() == []


async def test_a_head_that_trickles_in_has_no_more_time(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _JUMP
    async with _serving({"/page": _fine}) as served, await served.connect() as stream:
        for byte in ASK[:9]:
            await stream.send_all(bytes([byte]))
            await trio.sleep(1)
        assert (await _to_the_end(stream)).startswith(b"HTTP/1.1 408 ")
        assert trio.current_time() == pytest.approx(10)


async def test_who_does_not_read_its_answer_is_let_go(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _JUMP
    large = b"x" * (64 << 20)  # more than any socket buffer
    async with _serving({"/page": lambda: Respond(200, large)}) as served, await served.connect() as stream:
        await stream.send_all(ASK)
        await trio.sleep(6)
        assert 0 < len(await _to_the_end(stream)) < len(large)
        assert trio.current_time() == pytest.approx(6)
        assert served.logged() == []


async def test_without_descriptors_it_waits_and_says_so_once(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _JUMP
    async with _serving({"/page": _fine}) as served, await served.connect() as first:
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
