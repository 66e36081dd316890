from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import h11
import pytest
import trio
import trio.testing

from splicer.discovery import api as module
from splicer.discovery.api import LONGEST_LINE, Answer, Api, connect
from splicer.discovery.failures import ApiFailure
from splicer.discovery.place import Place
from tests.discovery.asking import PATH
from tests.kit.apiserver import ApiServer, Pod, api_server
from tests.kit.kubernetes.certificates import Certificates
from tests.kit.site import free_port

_TIMEOUT = 30  # seconds, on a busy machine


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with api_server() as server:
        server.sync("voice-agent", [Pod("pod-0", "10.0.0.1")])
        yield server


def place(server: ApiServer, **how: str) -> Place:
    files = {"token_file": str(server.token_file), "ca_file": str(server.ca_file)} | how
    return Place.at(server.url, **files)


async def fetch(where: Place, target: str = PATH) -> tuple[int, bytes]:
    with trio.fail_after(_TIMEOUT):
        answer = await Api(where).get(target)
        try:
            return answer.status, await answer.body()
        finally:
            await answer.aclose()


# ---- over TLS, to a process ----


async def test_a_list(server: ApiServer) -> None:
    status, body = await fetch(place(server))
    assert status == 200
    assert b'"addresses":["10.0.0.1"]' in body


async def test_a_watch_by_lines(server: ApiServer) -> None:
    with trio.fail_after(_TIMEOUT):
        answer = await Api(place(server)).get(f"{PATH}?watch=true&allowWatchBookmarks=true&timeoutSeconds=600")
        first, second = await answer.line(), await answer.line()
        assert first is not None
        assert first.startswith(b'{"type":"ADDED"')
        assert second is not None
        assert second.startswith(b'{"type":"BOOKMARK"')
        for count in (2, 3):
            with trio.move_on_after(0.01):  # it may be cancelled at any time
                await answer.line()
            server.sync("voice-agent", [Pod(f"pod-{i}", f"10.0.0.{i}") for i in range(count)])
            line = await answer.line()
            assert line is not None
            assert f'"pod-{count - 1}"'.encode() in line
        server.end_watches()
        assert await answer.line() is None
        await answer.aclose()
    server.sync("voice-agent", [Pod("pod-0", "10.0.0.1")])


async def test_the_options_of_the_connection(server: ApiServer) -> None:
    with trio.fail_after(_TIMEOUT):
        stream = await connect(place(server))
        assert isinstance(stream, trio.SSLStream)
        assert stream.selected_alpn_protocol() == "http/1.1"
        assert stream.version() == "TLSv1.3"
        transport = stream.transport_stream
        assert isinstance(transport, trio.SocketStream)
        assert transport.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
        assert transport.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        await trio.aclose_forcefully(stream)


async def test_another_token_is_read_at_the_next_request() -> None:
    with api_server() as own:
        where = place(own)
        assert (await fetch(where))[0] == 200
        own.token("token-2", publish=False)
        assert (await fetch(where))[0] == 401
        own.token("token-2")
        assert (await fetch(where))[0] == 200
        own.certificates(publish=False)
        with pytest.raises(ApiFailure) as failure:
            await fetch(where)
        assert failure.value.reason == "tls"
        own.certificates()
        assert (await fetch(where))[0] == 200
        own.crash()
        with pytest.raises(ApiFailure) as failure:
            await fetch(where)
        assert failure.value.reason == "connect"


async def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    certificates = Certificates.make()  # for 127.0.0.1
    (tmp_path / "ca.crt").write_bytes(certificates.ca)

    async def greet(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.do_handshake()
        await trio.aclose_forcefully(stream)

    serve = partial(trio.serve_ssl_over_tcp, host="127.0.0.2")
    with trio.fail_after(_TIMEOUT):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(serve, greet, 0, certificates.context)
            port = listener.transport_listener.socket.getsockname()[1]
            with pytest.raises(ApiFailure, match=r"127\.0\.0\.2") as failure:
                await connect(Place("127.0.0.2", port, ca_file=str(tmp_path / "ca.crt")))
            nursery.cancel_scope.cancel()
    assert failure.value.reason == "tls"


async def test_nobody_listens() -> None:
    with pytest.raises(ApiFailure) as failure:
        await connect(Place("127.0.0.1", free_port(), tls=False))
    assert failure.value.reason == "connect"


async def test_a_server_that_speaks_no_tls(server: ApiServer) -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, refuse, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        with trio.fail_after(_TIMEOUT), pytest.raises(ApiFailure) as failure:
            await connect(Place("127.0.0.1", port, ca_file=str(server.ca_file)))
        nursery.cancel_scope.cancel()
    assert failure.value.reason == "tls"


# ---- Python 3.13 ----


async def test_a_ca_without_key_identifiers(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """kubernetes-client/python#2394: the flag that 3.13 sets refuses it; all else is checked as before."""
    make = ssl.create_default_context

    def as_in_3_13(*, cafile: str) -> ssl.SSLContext:
        context = make(cafile=cafile)
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    monkeypatch.setattr(ssl, "create_default_context", as_in_3_13)
    assert (await fetch(place(server)))[0] == 200
    context = place(server).context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    strict = as_in_3_13(cafile=str(server.ca_file))
    monkeypatch.setattr(Place, "context", lambda _: strict)
    with pytest.raises(ApiFailure, match=r"(?i)key identifier"):
        await fetch(place(server))


# ---- answers that are no good, from a server that says anything ----

Say = Callable[[trio.abc.Stream], Awaitable[None]]


@asynccontextmanager
async def answering(*pieces: bytes, tmp_path: Path, heard: list[h11.Request] | None = None) -> AsyncIterator[Api]:
    """A server that says these bytes to each request, and closes the connection; `heard` gets the requests."""
    (tmp_path / "token").write_text("t")

    async def say(stream: trio.abc.Stream) -> None:
        async with stream:
            connection = h11.Connection(h11.SERVER)
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    connection.receive_data(bytes(await stream.receive_some(65536)))
                elif isinstance(event, h11.Request) and heard is not None:
                    heard.append(event)
            try:
                for piece in pieces:
                    await stream.send_all(piece)
            except trio.BrokenResourceError:
                pass

    async with trio.open_nursery() as nursery:

        async def here(_: Place) -> trio.abc.Stream:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(say, theirs)
            await trio.lowlevel.checkpoint()
            return ours

        yield Api(Place("127.0.0.1", 1, token_file=str(tmp_path / "token")), here)
        nursery.cancel_scope.cancel()


_OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "connect"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "connect"),
        (_OK + b"3\r\nab", "connect"),
        (b"220 mail.example ESMTP\r\n\r\n", "garbage"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000, "garbage"),
        (_OK + b"zz\r\n", "garbage"),
    ],
)
async def test_what_is_no_whole_answer(said: bytes, reason: str, tmp_path: Path) -> None:
    async with answering(said, tmp_path=tmp_path) as api:
        with trio.fail_after(_TIMEOUT), pytest.raises(ApiFailure) as failure:
            await (await api.get("/")).body()
    assert failure.value.reason == reason


async def _lines(answer: Answer) -> list[bytes]:
    lines = []
    while (line := await answer.line()) is not None:
        lines.append(line)
    return lines


async def test_lines_come_apart_where_they_end_and_not_where_chunks_do(tmp_path: Path) -> None:
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b"ab\n\ncd\n") + b"0\r\n\r\n"
    async with answering(_OK, body, tmp_path=tmp_path) as api:
        assert await _lines(await api.get("/")) == [b"ab", b"", b"cd"]


async def test_half_a_line_at_the_end(tmp_path: Path) -> None:
    async with answering(_OK + b"2\r\nab\r\n0\r\n\r\n", tmp_path=tmp_path) as api:
        with pytest.raises(ApiFailure, match="within a line") as failure:
            await _lines(await api.get("/"))
    assert failure.value.reason == "garbage"


async def test_a_line_without_end_is_not_kept(tmp_path: Path) -> None:
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    async with answering(_OK, *[piece] * (LONGEST_LINE // 65536 + 10), tmp_path=tmp_path) as api:
        with pytest.raises(ApiFailure, match="a line of more") as failure:
            await _lines(await api.get("/"))
    assert failure.value.reason == "garbage"


async def test_a_body_that_is_too_large(tmp_path: Path) -> None:
    async with answering(_OK + b"5\r\nabcde\r\n0\r\n\r\n", tmp_path=tmp_path) as api:
        assert await (await api.get("/")).body(5) == b"abcde"
        with pytest.raises(ApiFailure, match="more than 4 bytes"):
            await (await api.get("/")).body(4)


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7), ("", 0), ("-1", 0), ("1.5", 0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0)]
)
async def test_retry_after(text: str, seconds: float, tmp_path: Path) -> None:
    head = f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: {text}\r\nContent-Length: 0\r\n\r\n"
    async with answering(head.encode(), tmp_path=tmp_path) as api:
        assert (await api.get("/")).retry_after == seconds


async def test_an_informational_answer_is_passed_over(tmp_path: Path) -> None:
    said = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with answering(said, tmp_path=tmp_path) as api:
        assert (await api.get("/")).status == 200


async def test_behind_kubectl_proxy_no_token_is_sent(tmp_path: Path) -> None:
    heard: list[h11.Request] = []
    async with answering(_OK + b"0\r\n\r\n", tmp_path=tmp_path, heard=heard) as api:
        proxied = Api(Place.at("http://127.0.0.1:8001/prefix", token_file="/nowhere"), api.connect)
        assert await (await proxied.get("/apis")).body() == b""
    [request] = heard
    assert request.target == b"/prefix/apis"
    assert [name for name, _ in request.headers] == [b"host", b"accept", b"user-agent"]


def test_the_limits_are_far_above_what_there_is() -> None:
    assert (module.LONGEST_LINE, module.LARGEST_BODY) == (4 * 2**20, 16 * 2**20)
