"""Sends the spans of sampled requests and calls to the admin process.

Spans are encoded many together: the code that encodes them is in the processor's caches from the second one on.

Invariant: nothing here waits. A channel that is full, or that nobody reads, costs spans, which are counted.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Literal

import trio

from splicer.observer import Observer
from splicer.otlp.packets import batches_of, packet_of
from splicer.otlp.semantics import span_of_call, spans_of_request
from splicer.record import Record
from splicer.trace import RequestTrace

_SEND_FLAGS = int(socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)  # a sum of Python's flags takes as long as a system call
_NANOSECONDS = 1_000_000_000
_MOST_KEPT = 128  # requests and calls, while there is no admin process
_ENOUGH = 32  # of them are encoded and sent at once: frames wait for 0.2 ms meanwhile
_DELAY_SECONDS = 0.05  # after which fewer are sent: a packet for each request would cost a third of a request's tracing


class SpanSender(Observer):
    """The session's observer that tells of spans.

    A request is told when its answer was sent, or with its 101; a call at its end. What was sent outlives this process:
    it lies in the admin process's socket. While there is no admin process, a few wait for the next one.

    Args:
        dropped: called with the number of spans that could not be sent.
        ids: random ids of 16 hexadecimal digits.
    """

    def __init__(self, dropped: Callable[[int], None], ids: Iterator[str]) -> None:
        self._dropped = dropped
        self._ids = ids
        self._sock: socket.socket | None = None
        self._told: list[tuple[Record, RequestTrace, float, bool]] = []  # when it ended, and whether it is a call
        self._unsent: list[bytes] = []  # spans that a channel without a reader did not take
        self._waits = False  # whether `_some` is set
        self._some = trio.Event()  # some were told
        self.query = False  # whether query strings are told
        self.tunnel: Literal["link", "child", "off"] = "link"  # see `TracingSettings`

    async def run(self) -> None:
        """Send what has waited for 50 ms, until cancelled."""
        while True:
            await self._some.wait()
            await trio.sleep(_DELAY_SECONDS)
            self._waits, self._some = False, trio.Event()
            self.flush()

    def connect(self, sock: socket.socket) -> None:
        """Send on this channel from now on, and first what there was no channel for; it is owned."""
        self.close()
        self._sock = sock
        self.flush()

    def flush(self) -> None:
        """Send what waits, unless there is no channel."""
        if self._sock is None:
            return
        spans, self._unsent = self._unsent, []
        told, self._told = self._told, []
        if told:
            spans += self._encoded(told)
        for batch in batches_of(spans):
            if self._sock is None:
                self._unsent += batch
            else:
                self._send(batch)

    def close(self) -> None:
        """Close the channel."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def tunnel_opened(self, record: Record) -> None:
        """See `Observer`."""
        trace = record.trace
        if trace is not None and trace.sampled:
            self._tell(record, trace, trace.opened, False)

    def exchange_ended(self, record: Record) -> None:
        """See `Observer`."""
        trace = record.trace
        if trace is not None and trace.sampled:
            self._tell(record, trace, record.ended or trio.current_time(), False)

    def tunnel_closed(self, record: Record) -> None:
        """See `Observer`."""
        trace = record.trace
        if trace is not None and trace.sampled and self.tunnel != "off":
            self._tell(record, trace, record.ended or trio.current_time(), True)

    def _tell(self, record: Record, trace: RequestTrace, ended: float, is_call: bool) -> None:
        told = self._told
        if self._sock is None and len(told) >= _MOST_KEPT:
            self._dropped(_spans(record, is_call))
            return
        told.append((record, trace, ended, is_call))
        if len(told) >= _ENOUGH:
            self.flush()
        elif not self._waits:
            self._waits = True
            self._some.set()

    def _encoded(self, told: list[tuple[Record, RequestTrace, float, bool]]) -> list[bytes]:
        epoch = time.time_ns() - int(trio.current_time() * _NANOSECONDS)
        spans, ids = list[bytes](), self._ids
        for record, trace, ended, is_call in told:
            try:
                if is_call:
                    own_trace = next(ids) + next(ids) if self.tunnel == "link" else ""
                    spans.append(span_of_call(record, trace, ended, epoch, own_trace, next(ids)))
                else:
                    spans += spans_of_request(record, trace, ended, epoch, query=self.query)
            except Exception:  # noqa: BLE001 - a fault in what is told of one call may end no other, nor this process
                self._dropped(_spans(record, is_call))
        return spans

    def _send(self, spans: list[bytes]) -> None:
        assert self._sock is not None  # noqa: S101 - `flush` has looked
        try:
            self._sock.send(packet_of(spans), _SEND_FLAGS)
        except (BrokenPipeError, ConnectionError):
            self.close()  # the admin process is gone; the next one's channel comes from the supervisor
            self._unsent += spans
        except OSError:
            self._dropped(len(spans))  # it is full, or the packet is too long for it


def _spans(record: Record, is_call: bool) -> int:
    return 1 if is_call else 1 + len(record.attempts) + (record.authorize is not None)
