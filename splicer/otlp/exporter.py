"""The export of spans to a collector.

Invariant: whatever the collector does, the spans that wait are bounded in number and time, and each is counted: as
sent, or by why it was not.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import uniform
from typing import Protocol

import trio

from splicer import __version__
from splicer.config.tracing import TracingSettings
from splicer.otlp.answer import partial_success
from splicer.otlp.collector import Answer, CollectorClient, CollectorFailed
from splicer.otlp.encoder import SPAN, around_spans, encode_resource, encode_scope
from splicer.otlp.packets import spans_in
from splicer.otlp.queue import SpanQueue
from splicer.otlp.semantics import SCHEMA

SENT, QUEUE_FULL, REFUSED, UNREACHABLE = RESULTS = ("sent", "queue_full", "refused", "unreachable")

_BATCH = 512  # spans
_BATCH_DELAY = 5.0  # seconds, at most, from the first span of a batch to its request
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 30.0  # seconds before a request is tried again, unless the collector says when
_LONGEST_RETRY_AFTER = 300.0  # seconds for which a collector's Retry-After is believed
_GIVE_UP_TIMEOUT = 60.0  # seconds after which no further attempt at a batch is begun
_JITTER = (0.75, 1.25)
_LOG_INTERVAL = 60.0  # seconds between two lines of the same event
_LATER = frozenset({429, 502, 503, 504})  # what OTLP allows to be tried again
_GZIP_WINDOW = 31  # of zlib: the largest window, with gzip's header
_GZIP_LEVEL = 1


class Log(Protocol):
    """The logger's part that is needed here."""

    def warning(self, event: str, **fields: object) -> None:
        """Write an event that somebody should know of."""


class Exporter:
    """Takes packets from workers, and sends their spans in batches.

    Args:
        settings: returns the ``[tracing]`` in force; None: there is none.
        resource: the attributes of every resource, without those that the settings give.
        log: the logger.
    """

    def __init__(self, settings: Callable[[], TracingSettings | None], resource: Mapping[str, str], log: Log) -> None:
        self._settings = settings
        self._resource = resource
        self._log = log
        self._queue = SpanQueue()
        self._client = CollectorClient()
        self._stopping = trio.Event()
        self._told: dict[str, float] = {}  # when each event was logged last
        self.counts = Counter(dict.fromkeys(RESULTS, 0))

    @property
    def waiting(self) -> int:
        """The number of spans in the queue."""
        return self._queue.spans

    def take(self, slot: int, packets: Sequence[bytes]) -> None:
        """Queue the spans of packets of a worker."""
        if dropped := self._queue.put(slot, packets):
            self.counts[QUEUE_FULL] += dropped

    async def run(self) -> None:
        """Send until `stop` was called and the queue is empty."""
        try:
            while not self._stopping.is_set() or self._queue.spans:
                await self._fill()
                if batch := self._queue.take(_BATCH):
                    await self._export(batch)
        finally:
            await self._client.aclose()

    def stop(self) -> None:
        """Send the rest without waiting for more, and try nothing twice."""
        self._stopping.set()
        self._queue.hurry()

    async def _fill(self) -> None:
        """Wait for a batch; when the edge stops, for nothing."""
        await self._queue.wait(1)
        with trio.move_on_after(_BATCH_DELAY):
            await self._queue.wait(_BATCH)

    async def _export(self, batch: list[tuple[int, bytes]]) -> None:
        settings = self._settings()
        if settings is None or settings.endpoint is None:  # a reload has switched it off meanwhile
            self.counts[UNREACHABLE] += sum(spans_in(packet) for _, packet in batch)
            return
        body, count = await self._encoded(batch, settings)
        if count:
            await self._deliver(body, count)

    # The compression of each worker's spans is a step: scrapes and operators wait for it.
    async def _encoded(self, batch: list[tuple[int, bytes]], settings: TracingSettings) -> tuple[bytes, int]:
        by_slot: dict[int, list[memoryview]] = {}
        count = unread = 0
        for slot, packet in batch:
            if packet[1:2] != SPAN:  # a worker of another version has sent it
                unread += spans_in(packet)
                continue
            count += packet[0]
            by_slot.setdefault(slot, []).append(memoryview(packet)[1:])
        if unread:
            self.counts[REFUSED] += unread
            self._tell_once("spans_unread", spans=unread)
        scope = encode_scope("splicer", __version__)
        out = list[bytes | memoryview]()
        gzip = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WINDOW) if settings.compression == "gzip" else None
        for slot, spans in by_slot.items():
            before, after = around_spans(self._resource_of(slot, settings), scope, SCHEMA, sum(map(len, spans)))
            pieces: tuple[bytes | memoryview, ...] = (before, *spans, after)
            out += pieces if gzip is None else [gzip.compress(piece) for piece in pieces]
            await trio.lowlevel.checkpoint()
        if gzip is not None:
            out.append(gzip.flush())
        return b"".join(out), count

    def _resource_of(self, slot: int, settings: TracingSettings) -> bytes:
        own = {
            "service.name": settings.service,
            "service.version": __version__,
            "service.instance.id": f"{self._resource.get('host.name', '')}/{slot}",
        }
        return encode_resource({**self._resource, **dict(settings.attributes), **own}.items())

    # ---- one batch ----

    # The settings are asked for each time: a reload may name another collector for what the old one doesn't take.
    async def _deliver(self, body: bytes, count: int) -> None:
        delay, give_up = _FIRST_DELAY, trio.current_time() + _GIVE_UP_TIMEOUT
        while True:
            settings = self._settings()
            if settings is None or settings.endpoint is None:
                self.counts[UNREACHABLE] += count
                return
            headers = tuple((name, value) for name, value in settings.headers if value)
            try:
                answer = await self._client.send_spans(
                    settings.endpoint, headers, body, gzip=body.startswith(b"\x1f\x8b")
                )
            except CollectorFailed as failed:
                why, wait = str(failed), None
            else:
                if answer.status not in _LATER:
                    self._settle(answer, count)
                    return
                why, wait = f"it answers {answer.status}", answer.retry_after
            if self._stopping.is_set() or trio.current_time() >= give_up:
                self.counts[UNREACHABLE] += count
                self._tell_once("spans_unreachable", spans=count, endpoint=str(settings.endpoint), reason=why)
                return
            own = delay * uniform(*_JITTER)  # noqa: S311 - it spreads load, it keeps no secret
            await self._pause(max(own, min(wait or 0.0, _LONGEST_RETRY_AFTER)))
            delay = min(delay * 2, _LONGEST_DELAY)

    async def _pause(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._stopping.wait()

    def _settle(self, answer: Answer, count: int) -> None:
        if not 200 <= answer.status <= 299:
            self.counts[REFUSED] += count
            self._tell_once("spans_refused", spans=count, status=answer.status, detail=_readable(answer.body))
            return
        rejected, message = partial_success(answer.body)
        rejected = min(rejected, count)
        self.counts[SENT] += count - rejected
        if rejected:
            self.counts[REFUSED] += rejected
            self._tell_once("spans_refused", spans=rejected, status=answer.status, detail=message[:200])

    def _tell_once(self, event: str, **fields: object) -> None:
        now = trio.current_time()
        if now - self._told.get(event, -math.inf) >= _LOG_INTERVAL:
            self._told[event] = now
            self._log.warning(event, **fields)


def _readable(body: bytes) -> str:
    """The beginning of an answer that should be text, but may be protobuf (google.rpc.Status)."""
    text = body[:200].decode("utf-8", "replace")
    return "".join(character for character in text if character.isprintable())
