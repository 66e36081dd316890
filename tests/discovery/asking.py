"""A client of the API server within the test's own process: bytes go through memory, time is a mock clock's."""

from __future__ import annotations

from collections.abc import Mapping

import h11
import trio
import trio.testing
from attrs import frozen

from tests.kit.kubernetes.server import Server

PATH = "/apis/discovery.k8s.io/v1/namespaces/voice/endpointslices"
SELECTOR = "labelSelector=kubernetes.io%2Fservice-name%3Dvoice-agent"


@frozen
class Heard:
    """An answer: its head, each line with its second, and after how many seconds it ended."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    lines: tuple[tuple[float, str], ...]
    seconds: float

    @property
    def body(self) -> str:
        return "\n".join(text for _, text in self.lines)


async def ask(server: Server, target: str, headers: Mapping[str, str | None] | None = None) -> Heard:
    """Ask for a target, with the server's token unless the headers say otherwise (None: without that header)."""
    said = {"Host": "127.0.0.1", "Authorization": f"Bearer {server.token}"} | dict(headers or {})
    began = trio.current_time()
    ours, theirs = trio.testing.memory_stream_pair()
    connection = h11.Connection(h11.CLIENT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, theirs)
        sent = [(name, value) for name, value in said.items() if value is not None]
        await ours.send_all(connection.send(h11.Request(method="GET", target=target, headers=sent)) or b"")
        await ours.send_all(connection.send(h11.EndOfMessage()) or b"")
        head: h11.Response | None = None
        lines: list[tuple[float, str]] = []
        buffer = ""
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await ours.receive_some(65536)))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                *whole, buffer = (buffer + bytes(event.data).decode()).split("\n")
                lines += [(trio.current_time() - began, text) for text in whole]
        assert buffer == ""
        await ours.aclose()
    assert head is not None
    names = tuple((name.decode(), value.decode()) for name, value in head.headers.raw_items())
    return Heard(head.status_code, head.reason.decode(), names, tuple(lines), trio.current_time() - began)
