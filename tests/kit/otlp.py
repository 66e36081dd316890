"""A collector: it decodes with OpenTelemetry's own classes, and checks what holds for all spans.

with collector() as receiver:
    ...                                     # an edge with endpoint = receiver.url
    [span] = await receiver.spans(1, name="GET /api/*")
"""

from __future__ import annotations

import gzip
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trio
from attrs import define, field
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

_POLL_INTERVAL = 0.02  # seconds
_TIMEOUT = 30.0  # seconds

SERVER, CLIENT, INTERNAL = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL


def values_of(attributes: Any) -> dict[str, Any]:
    """Attributes as a dictionary; none comes twice."""
    found = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
    assert len(found) == len(attributes), "an attribute comes twice"
    return found


@define
class Received:
    """One span.

    Args:
        raw: as it came.
        resource: the attributes of its resource.
    """

    raw: Span
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        return self.raw.name

    @property
    def kind(self) -> int:
        return self.raw.kind

    @property
    def trace_id(self) -> str:
        return self.raw.trace_id.hex()

    @property
    def span_id(self) -> str:
        return self.raw.span_id.hex()

    @property
    def parent(self) -> str:
        return self.raw.parent_span_id.hex()

    @property
    def failed(self) -> bool:
        return self.raw.status.code == 2

    @property
    def links(self) -> list[tuple[str, str]]:
        return [(link.trace_id.hex(), link.span_id.hex()) for link in self.raw.links]

    @property
    def events(self) -> list[str]:
        return [event.name for event in self.raw.events]

    def __getitem__(self, name: str) -> Any:
        return values_of(self.raw.attributes)[name]

    def get(self, name: str) -> Any:
        return values_of(self.raw.attributes).get(name)


Script = Callable[[BaseHTTPRequestHandler, bytes], bool]
"""Answers one request as no good collector does; True: the spans don't count as received."""


@define
class Receiver:
    """See the module.

    Args:
        url: its endpoint.
        script: what it does instead of answering; None: it answers.
    """

    url: str = ""
    script: Script | None = None
    received: list[Received] = field(factory=list)
    requests: list[dict[str, str]] = field(factory=list)  # the fields of each, by name in lower case
    batches: list[ExportTraceServiceRequest] = field(factory=list)

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        fields = {name.lower(): value for name, value in handler.headers.items()}
        body = _body(handler, fields)
        self.requests.append({**fields, ":path": handler.path})
        if self.script is not None and self.script(handler, body):
            return
        assert fields["content-type"] == "application/x-protobuf"
        plain = gzip.decompress(body) if fields.get("content-encoding") == "gzip" else body
        batch = ExportTraceServiceRequest.FromString(plain)
        self.batches.append(batch)
        for spans in batch.resource_spans:
            self.received += _checked(spans)
        answer(handler, 200)

    async def spans(self, count: int, **wanted: Any) -> list[Received]:
        """The spans with these properties or attributes, as soon as there are so many; there may be no more."""
        with trio.fail_after(_TIMEOUT):
            while len(found := self.now(**wanted)) < count:  # noqa: ASYNC110 - a thread receives them
                await trio.sleep(_POLL_INTERVAL)
        assert len(found) == count, [span.name for span in found]
        return found

    def now(self, **wanted: Any) -> list[Received]:
        """Those that there are; an attribute's name is written with "__" for "."."""
        return [span for span in list(self.received) if all(_has(span, *one) for one in wanted.items())]

    def check(self) -> None:
        """What holds for all spans together."""
        by_id = {span.span_id: span for span in self.received}
        assert len(by_id) == len(self.received), "a span came twice"
        for span in self.received:
            parent = by_id.get(span.parent)
            if parent is not None:
                assert span.trace_id == parent.trace_id
                if span.resource["service.name"] == parent.resource["service.name"]:
                    assert not span.raw.flags & 0x200, "its parent is not remote"
                assert parent.raw.start_time_unix_nano <= span.raw.start_time_unix_nano + 1_000_000
            elif span.parent:
                assert span.kind == SERVER, "the span of an attempt without that of its request"


def _body(handler: BaseHTTPRequestHandler, fields: dict[str, str]) -> bytes:
    if fields.get("transfer-encoding") != "chunked":  # Envoy's are
        return handler.rfile.read(int(fields["content-length"]))
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body


def _has(span: Received, name: str, value: Any) -> bool:
    found = getattr(span, name) if hasattr(span, name) else span.get(name.replace("__", "."))
    return bool(found == value)


def _checked(spans: ResourceSpans) -> Iterator[Received]:
    resource = values_of(spans.resource.attributes)
    assert resource["service.name"]
    for scoped in spans.scope_spans:
        assert scoped.scope.name
        for span in scoped.spans:
            assert len(span.trace_id) == 16
            assert len(span.span_id) == 8
            assert any(span.trace_id)
            assert any(span.span_id)
            assert len(span.parent_span_id) in (0, 8)
            assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.name
            assert not span.status.message
            for event in span.events:
                assert span.start_time_unix_nano <= event.time_unix_nano <= span.end_time_unix_nano
            yield Received(span, resource)


def refuse_for_now(handler: BaseHTTPRequestHandler, _: bytes) -> bool:
    """A script: 503, and come again in 100 s."""
    answer(handler, 503, Retry_After="100")
    return True


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **fields: str) -> None:
    """Answer one request; names of fields are written with "_" for "-"."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **fields}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def collector(script: Script | None = None, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Receiver]:
    """A collector on a port of its own."""
    receiver = Receiver(script=script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            receiver.take(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        broken: list[BaseException] = []  # noqa: RUF012 - of this class, which is of this call

        def handle_error(self, request: Any, client_address: Any) -> None:
            error = sys.exception()
            if error is not None and not isinstance(error, OSError):  # OSError: who asked has left
                self.broken.append(error)

    server = Server(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "http" if tls is None else "https"
    receiver.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/v1/traces"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    if Server.broken:
        raise Server.broken[0]
    receiver.check()
