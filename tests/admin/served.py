"""A `Web` in this process, on a real listener."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from splicer.admin.dispatch import Table
from splicer.admin.web import Web
from splicer.net.bind import bind
from splicer.observe.line_writer import LineWriter
from splicer.observe.log import make_logger


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
async def serving(table: Table) -> AsyncIterator[Served]:
    read, write = os.pipe()
    lines = LineWriter(write)
    try:
        with bind("127.0.0.1", 0) as listener:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Web(table, make_logger(lines, "json")).serve, [listener])
                yield Served(listener.getsockname(), lines, read)
                nursery.cancel_scope.cancel()
    finally:
        lines.close()
        os.close(read)
        os.close(write)


async def to_the_end(stream: trio.SocketStream) -> bytes:
    """All that comes until the connection is closed."""
    data = b""
    while part := await stream.receive_some():
        data += part
    return data
