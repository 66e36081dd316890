"""The export, to a collector that does what none should."""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme
from attrs import define, evolve, field
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from splicer.config.tracing import TracingSettings
from splicer.config.tracing import collector as address
from splicer.otlp import exporter as module
from splicer.otlp.exporter import QUEUE_FULL, REFUSED, SENT, UNREACHABLE, Exporter
from splicer.otlp.packets import packet_of
from splicer.otlp.queue import MOST_SPANS
from splicer.otlp.semantics import span_of_call, spans_of_request
from tests.kit.otlp import Receiver, answer, collector, refuse_for_now
from tests.otlp.samples import EPOCH, attempt, call, record, trace

_POLL_INTERVAL, _TIMEOUT = 0.01, 30.0  # seconds


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes a moment."""
    monkeypatch.setattr(module, "_BATCH_DELAY", 0.02)
    monkeypatch.setattr(module, "_FIRST_DELAY", 0.01)


@define
class Log:
    lines: list[tuple[str, dict[str, Any]]] = field(factory=list)

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


@define
class Rig:
    exporter: Exporter
    log: Log
    settings: TracingSettings | None
    number: int = 0

    def request(self, slot: int = 1) -> None:
        """Two spans."""
        self.number += 1
        told = trace(trace_id=f"{self.number:032x}", span_id=f"{self.number:016x}")
        tried = attempt(span=f"{self.number | 1 << 60:016x}")
        self.exporter.take(
            slot, [packet_of(spans_of_request(record(attempts=[tried]), told, 10.5, EPOCH, query=False))]
        )

    async def until(self, **counts: int) -> None:
        with trio.fail_after(_TIMEOUT):
            while any(self.exporter.counts[name] != count for name, count in counts.items()):  # noqa: ASYNC110 - nothing says so
                await trio.sleep(_POLL_INTERVAL)


@asynccontextmanager
async def exporting(url: str, **more: Any) -> AsyncIterator[Rig]:
    log = Log()
    rig = Rig(Exporter(lambda: rig.settings, {"host.name": "h"}, log), log, TracingSettings(address(url), **more))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.exporter.run)
        yield rig
        nursery.cancel_scope.cancel()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with collector() as receiver:
        yield receiver


async def test_spans_arrive_with_the_resource_of_their_worker(receiver: Receiver) -> None:
    more = {
        "compression": "gzip",
        "service": "edge",
        "attributes": (("zone", "a"),),
        "headers": (("x-key", "k"), ("x-none", "")),
    }
    async with exporting(receiver.url, **more) as rig:
        rig.request(1)
        rig.request(2)
        rig.exporter.take(2, [packet_of([span_of_call(call(), trace(), 20.0, EPOCH, "e" * 32, "a" * 16)])])
        await rig.until(sent=5)
        assert rig.exporter.waiting == 0
    by_slot = {span.resource["service.instance.id"]: span.resource for span in receiver.received}
    assert by_slot.keys() == {"h/1", "h/2"}
    assert by_slot["h/1"]["service.name"] == "edge"
    assert by_slot["h/1"]["zone"] == "a"
    assert by_slot["h/1"]["host.name"] == "h"
    [fields] = receiver.requests
    assert (fields["content-encoding"], fields["x-key"], fields[":path"]) == ("gzip", "k", "/v1/traces")
    assert "x-none" not in fields
    assert fields["user-agent"].startswith("splicer/")


async def test_without_compression(receiver: Receiver) -> None:
    async with exporting(receiver.url) as rig:
        rig.request()
        await rig.until(sent=2)
    assert "content-encoding" not in receiver.requests[0]
    assert len(receiver.received) == 2


async def test_batches_are_of_a_bounded_size_and_share_a_connection(receiver: Receiver) -> None:
    peers = set()

    def note(handler: BaseHTTPRequestHandler, _: bytes) -> bool:
        peers.add(handler.client_address)
        return False

    receiver.script = note
    async with exporting(receiver.url) as rig:
        for _ in range(600):
            rig.request()
        await rig.until(sent=1200)
    assert [sum(len(s.spans) for r in batch.resource_spans for s in r.scope_spans) for batch in receiver.batches] == [
        512,
        512,
        176,
    ]
    assert len(peers) == 1


# The same receiver takes what OpenTelemetry's own exporter sends: so it judges ours by the right measure.
async def test_the_sdk_s_exporter_is_taken_by_the_same_receiver(receiver: Receiver) -> None:
    def export() -> None:
        provider = TracerProvider(resource=Resource.create({"service.name": "control"}))
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=receiver.url)))
        with provider.get_tracer("control").start_as_current_span("a span"):
            pass
        provider.shutdown()

    await trio.to_thread.run_sync(export)
    [span] = await receiver.spans(1, name="a span")
    assert span.resource["service.name"] == "control"


def scripted(*steps: Callable[[BaseHTTPRequestHandler], None]) -> Callable[[BaseHTTPRequestHandler, bytes], bool]:
    """One step for each request; then the requests are answered."""
    left = list(steps)

    def script(handler: BaseHTTPRequestHandler, _: bytes) -> bool:
        if not left:
            return False
        left.pop(0)(handler)
        return True

    return script


def close(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def close_within(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    close(handler)


def babble(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 mail.test ESMTP\r\n")
    close(handler)


@pytest.mark.parametrize("step", [close, close_within, babble, *(429, 502, 503, 504)])
async def test_what_may_be_tried_again_is(receiver: Receiver, step: Any) -> None:
    receiver.script = scripted(step if callable(step) else lambda handler: answer(handler, step))
    async with exporting(receiver.url) as rig:
        rig.request()
        await rig.until(sent=2, refused=0, unreachable=0)
    assert len(receiver.received) == 2


async def test_retry_after_is_obeyed(receiver: Receiver) -> None:
    receiver.script = scripted(lambda handler: answer(handler, 503, Retry_After="1"))
    async with exporting(receiver.url) as rig:
        started = trio.current_time()
        rig.request()
        await rig.until(sent=2)
        assert trio.current_time() - started >= 1


async def test_a_collector_that_wants_to_be_asked_at_once_is_not(receiver: Receiver) -> None:
    receiver.script = scripted(*[lambda handler: answer(handler, 503, Retry_After="0")] * 5)
    async with exporting(receiver.url) as rig:
        started = trio.current_time()
        rig.request()
        await rig.until(sent=2)
        assert trio.current_time() - started >= 0.75 * 0.01 * (1 + 2 + 4 + 8 + 16)


@pytest.mark.parametrize("status", [400, 404, 413, 500, 301])
async def test_a_refusal_is_counted_and_told_once_a_minute(receiver: Receiver, status: int) -> None:
    refuse = scripted(*[lambda handler: answer(handler, status, b"no \x01 such thing")] * 2)
    receiver.script = refuse
    async with exporting(receiver.url) as rig:
        rig.request()
        await rig.until(refused=2)
        rig.request()
        await rig.until(refused=4)
        rig.request()
        await rig.until(sent=2, refused=4)
        assert rig.log.lines == [("spans_refused", {"spans": 2, "status": status, "detail": "no  such thing"})]


@pytest.mark.parametrize(("rejected", "counted"), [(1, 1), (99, 2), (0, 0), (-5, 0)])
async def test_a_part_that_is_rejected_is_counted(receiver: Receiver, rejected: int, counted: int) -> None:
    body = ExportTraceServiceResponse()
    body.partial_success.rejected_spans = rejected
    body.partial_success.error_message = "too old"
    receiver.script = scripted(lambda handler: answer(handler, 200, body.SerializeToString()))
    async with exporting(receiver.url) as rig:
        rig.request()
        await rig.until(sent=2 - counted, refused=counted)
    assert bool(rig.log.lines) == (counted > 0)


async def test_a_dead_collector_costs_its_batches_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GIVE_UP_TIMEOUT", 0.05)
    with socket.socket() as bound:  # nobody listens
        bound.bind(("127.0.0.1", 0))
        async with exporting(f"http://127.0.0.1:{bound.getsockname()[1]}/x") as rig:
            rig.request()
            await rig.until(unreachable=2)
    assert [event for event, _ in rig.log.lines] == ["spans_unreachable"]
    assert "127.0.0.1" in rig.log.lines[0][1]["endpoint"]


async def test_a_hanging_collector_fills_the_queue_and_then_spans_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with exporting(f"http://127.0.0.1:{silent.getsockname()[1]}/x") as rig:
            rig.request()
            with trio.fail_after(_TIMEOUT):
                while rig.exporter.waiting:  # noqa: ASYNC110 - until its batch is under way, which it stays
                    await trio.sleep(_POLL_INTERVAL)
            for _ in range(MOST_SPANS):
                rig.request()
            assert rig.exporter.waiting == MOST_SPANS
            assert rig.exporter.counts[QUEUE_FULL] == MOST_SPANS
            assert rig.exporter.counts[SENT] == rig.exporter.counts[REFUSED] == rig.exporter.counts[UNREACHABLE] == 0


async def test_an_answer_without_an_end_is_cut(receiver: Receiver) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        try:
            for _ in range(1000):
                handler.wfile.write(b"x" * 10_000)
        except OSError:
            pass
        handler.close_connection = True

    receiver.script = scripted(flood)
    async with exporting(receiver.url) as rig:
        rig.request()
        await rig.until(sent=2)
        rig.request()
        await rig.until(sent=4)
    assert len(receiver.received) == 2


async def test_what_no_version_understands_is_counted(receiver: Receiver) -> None:
    async with exporting(receiver.url) as rig:
        rig.exporter.take(1, [b"\x03rubbish", b"", b"\x02"])
        rig.request()
        await rig.until(sent=2, refused=5)
    assert rig.log.lines == [("spans_unread", {"spans": 5})]
    assert len(receiver.received) == 2


async def test_a_reload_that_ends_tracing_drops_what_waits(receiver: Receiver) -> None:
    async with exporting(receiver.url) as rig:
        rig.settings = None
        rig.request()
        await rig.until(unreachable=2)
    assert not receiver.requests


async def test_stop_sends_the_rest_and_ends(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_DELAY", math.inf)
    log = Log()
    exporter = Exporter(lambda: TracingSettings(address(receiver.url)), {}, log)
    rig = Rig(exporter, log, None)
    with trio.fail_after(_TIMEOUT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exporter.run)
            for _ in range(300):
                rig.request()
            await trio.testing.wait_all_tasks_blocked()
            rig.request()
            exporter.stop()
    assert exporter.counts[SENT] == 602


async def test_stop_tries_nothing_twice(receiver: Receiver) -> None:
    receiver.script = refuse_for_now
    async with exporting(receiver.url) as rig:
        rig.request()
        with trio.fail_after(_TIMEOUT):
            while not receiver.requests:  # noqa: ASYNC110 - a thread receives them
                await trio.sleep(_POLL_INTERVAL)
            rig.exporter.stop()
            await rig.until(unreachable=2)
    assert len(receiver.requests) <= 2


# ---- https ----


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return ca


def context(ca: trustme.CA, name: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(made)
    return made


async def test_https_with_a_certificate_that_is_right(authority: trustme.CA) -> None:
    with collector(tls=context(authority, "127.0.0.1")) as receiver:
        async with exporting(receiver.url) as rig:
            rig.request()
            await rig.until(sent=2)
            rig.request()
            await rig.until(sent=4)
    assert len(receiver.received) == 4


@pytest.mark.parametrize("wrong", ["name", "authority"])
async def test_https_with_a_certificate_that_is_wrong(
    authority: trustme.CA, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GIVE_UP_TIMEOUT", 0.0)
    tls = context(authority, "other.test") if wrong == "name" else context(trustme.CA(), "127.0.0.1")
    with collector(tls=tls) as receiver:
        async with exporting(receiver.url) as rig:
            rig.request()
            await rig.until(unreachable=2)
        assert not receiver.requests
    assert "certificate" in rig.log.lines[0][1]["reason"]


async def test_a_reload_names_another_collector(receiver: Receiver) -> None:
    with collector() as other:
        async with exporting(receiver.url) as rig:
            rig.request()
            await rig.until(sent=2)
            assert rig.settings is not None
            rig.settings = evolve(rig.settings, endpoint=address(other.url))
            rig.request()
            await rig.until(sent=4)
        assert len(receiver.received) == len(other.received) == 2
