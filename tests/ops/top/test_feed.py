"""The stream, from addresses that are no splicer's, and one that ends."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from splicer.ops.client import Client
from splicer.ops.top import feed
from splicer.ops.top.news import Calls, Lost, News, State

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
TIMEOUT = 30.0  # seconds


@contextmanager
def address(*answers: bytes) -> Iterator[tuple[Client, list[bytes]]]:
    """A server that gives each connection the next answer, and closes it; and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT)

        def serve() -> None:
            for answer in answers:
                with server.accept()[0] as one:
                    asked.append(one.recv(65536))
                    one.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Client(*server.getsockname()), asked
        thread.join()


@contextmanager
def following(client: Client) -> Iterator[queue.SimpleQueue[News]]:
    news: queue.SimpleQueue[News] = queue.SimpleQueue()
    stream = feed.Feed(client, news.put, "age")
    try:
        yield news
    finally:
        stream.close()


def test_events_come_and_a_stream_that_ends_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_RETRY_INTERVAL", 0.01)
    first = HEAD + b'event: tunnels\ndata: {"total": 1}\n\nevent: other\ndata: no JSON\n\nevent: state\ndata: {"at'
    second = HEAD + b'event: state\ndata: {"at": 2}\n\n'
    with address(first, second) as (client, asked), following(client) as news:
        assert news.get(timeout=TIMEOUT) == Calls({"total": 1})
        lost = news.get(timeout=TIMEOUT)
        assert isinstance(lost, Lost)
        assert lost.failure.faults == (f"{client}: the stream has ended",)
        assert news.get(timeout=TIMEOUT) == State({"at": 2})
    assert asked[0].startswith(b"GET /events?tunnels=1000&sort=age HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "broken HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "there are no events"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "without a JSON object"),
        (b'HTTP/1.1 503 No\r\nContent-Length: 20\r\n\r\n{"error": "8 open \x1b"}', "without a JSON object"),
        (b'HTTP/1.1 503 No\r\nContent-Length: 19\r\n\r\n{"error": "8 open"}', "8 open"),
        (HEAD + b"event: state\ndata: {\n\n", "an event is broken"),
        (HEAD + b"event: state\ndata: " + b"[" * 100_000 + b"\n\n", "an event is broken"),
    ],
)
def test_what_is_no_stream_is_told_in_one_line(answer: bytes, words: str) -> None:
    with address(answer) as (client, _), following(client) as news:
        lost = news.get(timeout=TIMEOUT)
        assert isinstance(lost, Lost)
        [fault] = lost.failure.faults
        assert words in fault
        assert fault.isprintable()
