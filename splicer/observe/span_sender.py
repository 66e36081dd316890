"""Sends the spans of sampled requests and calls to the admin process.

Invariant: nothing here waits. A channel that is full, or that nobody reads, costs spans, which are counted.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Iterator
from typing import Literal

import trio

from splicer.observer import Observer
from splicer.otlp.packets import batches_of, packet_of
from splicer.otlp.semantics import span_of_call, spans_of_request
from splicer.record import Record

_SEND_FLAGS = int(socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)  # a sum of Python's flags takes as long as a system call
_NANOSECONDS = 1_000_000_000
_MOST_KEPT = 256  # spans, while there is no admin process
_ENOUGH = 32  # spans that are sent at once
_DELAY_SECONDS = 0.05  # after which fewer are sent: a packet for each request would cost a third of a request's tracing
_EPOCH_SECONDS = 1.0  # for which the difference between both clocks is believed: they drift by less than 1 ms


class SpanSender(Observer):
    """The session's observer that tells of spans.

    A request is told when its answer was sent, or with its 101; a call at its end. What was sent outlives this process:
    it lies in the admin process's socket. While there is no admin process, a few spans wait for the next one.

    Args:
        dropped: called with the number of spans that could not be sent.
        ids: random ids of 16 hexadecimal digits.
    """

    def __init__(self, dropped: Callable[[int], None], ids: Iterator[str]) -> None:
        self._dropped = dropped
        self._ids = ids
        self._sock: socket.socket | None = None
        self._waiting: list[bytes] = []  # spans
        self._some = trio.Event()  # some wait
        self._epoch = 0  # the zero of the monotonic clock, in nanoseconds since 1970 …
        self._looked_at = -math.inf  # … and when that was found, on that clock
        self.query = False  # whether query strings are told
        self.tunnel: Literal["link", "child", "off"] = "link"  # see `TracingSettings`

    async def run(self) -> None:
        """Send what has waited for 50 ms, until cancelled."""
        while True:
            await self._some.wait()
            await trio.sleep(_DELAY_SECONDS)
            self._some = trio.Event()
            self.flush()

    def connect(self, sock: socket.socket) -> None:
        """Send on this channel from now on, and first what there was no channel for; it is owned."""
        self.close()
        self._sock = sock
        self.flush()

    def flush(self) -> None:
        """Send what waits, unless there is no channel."""
        waiting, self._waiting = self._waiting, []
        for batch in batches_of(waiting):
            if self._sock is None:
                self._waiting += batch
            else:
                self._send(batch)

    def close(self) -> None:
        """Close the channel."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def tunnel_opened(self, record: Record) -> None:
        """See `Observer`."""
        if record.trace is not None:
            self._tell_request(record, record.trace.opened)

    def exchange_ended(self, record: Record) -> None:
        """See `Observer`."""
        self._tell_request(record, record.ended or trio.current_time())

    def tunnel_closed(self, record: Record) -> None:
        """See `Observer`."""
        trace = record.trace
        if trace is not None and trace.sampled and self.tunnel != "off":
            own_trace = next(self._ids) + next(self._ids) if self.tunnel == "link" else ""
            ended = record.ended or trio.current_time()
            self._tell([span_of_call(record, trace, ended, self._epoch_at(ended), own_trace, next(self._ids))])

    def _tell_request(self, record: Record, ended: float) -> None:
        trace = record.trace
        if trace is not None and trace.sampled:
            self._tell(spans_of_request(record, trace, ended, self._epoch_at(ended), query=self.query))

    def _epoch_at(self, now: float) -> int:
        if not 0 <= now - self._looked_at < _EPOCH_SECONDS:
            self._looked_at = trio.current_time()
            self._epoch = time.time_ns() - int(self._looked_at * _NANOSECONDS)
        return self._epoch

    def _tell(self, spans: list[bytes]) -> None:
        if self._sock is None and len(self._waiting) + len(spans) > _MOST_KEPT:
            self._dropped(len(spans))
            return
        self._waiting += spans
        if len(self._waiting) >= _ENOUGH:
            self.flush()
        elif not self._some.is_set():
            self._some.set()

    def _send(self, spans: list[bytes]) -> None:
        assert self._sock is not None  # noqa: S101 - `flush` has looked
        try:
            self._sock.send(packet_of(spans), _SEND_FLAGS)
        except (BrokenPipeError, ConnectionError):
            self.close()  # the admin process is gone; the next one's channel comes from the supervisor
            self._waiting += spans
        except OSError:
            self._dropped(len(spans))  # it is full, or the packet is too long for it
