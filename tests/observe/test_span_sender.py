"""What is told of requests and calls, and what happens when nobody listens."""

from __future__ import annotations

import itertools
import math
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from attrs import evolve
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span
from trio.testing import MockClock

from splicer.observe.span_sender import SpanSender
from splicer.otlp.packets import spans_in
from splicer.vault.protocol import channel
from tests.kit.otlp import values_of
from tests.otlp.samples import SPAN, TRACE, attempt, call, record, trace


class Rig:
    def __init__(self) -> None:
        self.dropped = 0
        self.ids = (f"{number:016x}" for number in itertools.count(1))
        self.sender = SpanSender(self.drop, self.ids)
        self.there, its = channel()
        self.sender.connect(its)

    def drop(self, spans: int) -> None:
        self.dropped += spans

    def tell(self, what: str, told: Any, times: int = 1) -> None:
        async def main() -> None:
            for _ in range(times):
                getattr(self.sender, what)(told)
            self.sender.flush()

        trio.run(main)

    def connect(self) -> None:
        """Give it a new channel, as the supervisor does."""
        self.there, its = channel()
        its.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

        async def main() -> None:
            self.sender.connect(its)

        trio.run(main)

    def heard(self) -> list[list[Span]]:
        """The spans of each packet."""
        found = list[list[Span]]()
        while True:
            try:
                packet = self.there.recv(65536)
            except BlockingIOError:
                return found
            spans = list(ScopeSpans.FromString(packet[1:]).spans)
            assert len(spans) == spans_in(packet)
            found.append(spans)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.there.close()
    rig.sender.close()


def test_an_exchange(rig: Rig) -> None:
    rig.tell("exchange_ended", record())
    [[server, client]] = rig.heard()
    assert (server.trace_id.hex(), server.span_id.hex(), client.parent_span_id.hex()) == (TRACE, SPAN, SPAN)
    assert server.end_time_unix_nano - server.start_time_unix_nano == pytest.approx(30_000_000, abs=1000)
    assert "url.query" not in values_of(server.attributes)


def test_a_tunnel_is_told_with_its_101_and_at_its_end(rig: Rig) -> None:
    rig.tell("tunnel_opened", call())
    [[server, _]] = rig.heard()
    assert server.end_time_unix_nano - server.start_time_unix_nano == pytest.approx(20_000_000, abs=1000)
    rig.tell("tunnel_over", call())
    assert rig.heard() == []
    rig.tell("tunnel_closed", call())
    [[closed]] = rig.heard()
    assert (closed.trace_id.hex(), closed.span_id.hex()) == (f"{1:016x}{2:016x}", f"{3:016x}")
    assert [link.span_id.hex() for link in closed.links] == [SPAN]


def test_a_call_as_a_child_or_not_at_all(rig: Rig) -> None:
    rig.sender.tunnel = "child"
    rig.tell("tunnel_closed", call())
    [[closed]] = rig.heard()
    assert (closed.trace_id.hex(), closed.parent_span_id.hex()) == (TRACE, SPAN)
    rig.sender.tunnel = "off"
    rig.tell("tunnel_closed", call())
    assert rig.heard() == []


@pytest.mark.parametrize("what", ["exchange_ended", "tunnel_opened", "tunnel_closed"])
@pytest.mark.parametrize("untold", [None, trace(sampled=False)])
def test_what_is_not_sampled_is_not_told(rig: Rig, what: str, untold: Any) -> None:
    rig.tell(what, evolve(call(), trace=untold))
    assert (rig.heard(), rig.dropped) == ([], 0)


def test_a_query_is_told_if_it_is_logged(rig: Rig) -> None:
    rig.sender.query = True
    rig.tell("exchange_ended", record())
    [[server, _]] = rig.heard()
    assert values_of(server.attributes)["url.query"] == "token=secret"


def test_a_full_channel_drops_and_counts(rig: Rig) -> None:
    told = record(attempts=[attempt()])
    rig.tell("exchange_ended", told, 2000)
    kept = sum(map(len, rig.heard()))
    assert kept > 100
    assert kept % 2 == 0, "a request is told with its attempt"
    assert rig.dropped == 2 * 2000 - kept
    rig.tell("exchange_ended", told)
    assert len(rig.heard()) == 1, "there is room again"


def test_a_dead_admin_process_is_noticed_and_the_next_one_is_told(rig: Rig) -> None:
    rig.there.close()
    rig.tell("exchange_ended", record())
    rig.tell("tunnel_closed", call())
    rig.connect()
    rig.tell("exchange_ended", record())
    assert [len(spans) for spans in rig.heard()] == [3, 2]
    assert rig.dropped == 0


def test_without_a_channel_a_few_wait_and_the_others_are_dropped(rig: Rig) -> None:
    rig.sender.close()
    rig.tell("tunnel_closed", call(), 150)
    assert rig.dropped == 150 - 128
    rig.tell("exchange_ended", record(attempts=[attempt(), attempt()]))
    assert rig.dropped == 150 - 128 + 3, "all spans of a request are counted"
    for expected in (129, 1):
        rig.there.close()
        rig.connect()
        rig.tell("tunnel_closed", call())
        assert sum(map(len, rig.heard())) == expected, "they are sent once"


def test_a_new_channel_replaces_the_old_one(rig: Rig) -> None:
    old = rig.there
    rig.connect()
    rig.tell("exchange_ended", record())
    assert len(rig.heard()) == 1
    assert old.recv(1) == b"", "its end was closed"
    old.close()


def test_many_spans_are_sent_at_once(rig: Rig) -> None:
    async def main() -> list[int]:
        for _ in range(40):
            rig.sender.tunnel_closed(call())
        return [len(spans) for spans in rig.heard()]

    assert trio.run(main) == [32]


def test_what_can_not_be_encoded_is_counted_and_the_others_are_sent(rig: Rig) -> None:
    async def main() -> None:
        rig.sender.tunnel_closed(call())
        rig.sender.exchange_ended(record(trace=trace(trace_id="no id")))
        rig.sender.tunnel_closed(call())
        rig.sender.flush()

    trio.run(main)
    assert ([len(spans) for spans in rig.heard()], rig.dropped) == ([2], 2)


# It is encoded when other calls have ended too, maybe this one as well.
def test_the_request_of_a_call_is_told_as_it_was_at_its_101(rig: Rig) -> None:
    told = call(ended=None, close_reason=None)

    async def main() -> None:
        rig.sender.tunnel_opened(told)
        told.ended, told.close_reason = 100.0, "crash"
        rig.sender.flush()

    trio.run(main)
    [[server, _]] = rig.heard()
    assert "error.type" not in values_of(server.attributes)
    assert server.end_time_unix_nano - server.start_time_unix_nano == pytest.approx(20_000_000, abs=1000)


async def test_few_spans_are_sent_together_after_a_while(autojump_clock: MockClock) -> None:
    rig = Rig()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.sender.run)
        for _ in range(2):
            rig.sender.tunnel_closed(call())
            rig.sender.exchange_ended(record())
            await trio.sleep(0.04)
            assert rig.heard() == []
            await trio.sleep(0.02)
            assert [len(spans) for spans in rig.heard()] == [3]
        nursery.cancel_scope.cancel()
    rig.there.close()
    rig.sender.close()


async def test_what_waits_for_a_channel_wakes_nobody(autojump_clock: MockClock) -> None:
    rig = Rig()
    rig.sender.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.sender.run)
        rig.sender.tunnel_closed(call())
        await trio.sleep(1)
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf
        rig.there.close()
        rig.there, its = channel()
        rig.sender.connect(its)
        assert [len(spans) for spans in rig.heard()] == [1]
        nursery.cancel_scope.cancel()
    rig.there.close()
    rig.sender.close()


def test_a_packet_that_is_too_long_is_dropped(rig: Rig) -> None:
    rig.there.close()
    rig.there, its = channel()
    its.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    rig.sender.connect(its)
    rig.tell("exchange_ended", record(attempts=[attempt(target="x" * 2000)] * 100))
    assert (rig.heard(), rig.dropped) == ([], 101)


def now(rig: Rig) -> tuple[int, int]:
    """The time of a span that ends now, and the wall clock's, in nanoseconds."""

    async def main() -> int:
        rig.sender.exchange_ended(record(ended=trio.current_time()))
        rig.sender.flush()
        return time.time_ns()

    wall = trio.run(main)
    [[server, _]] = rig.heard()
    return server.end_time_unix_nano, wall


def test_the_time_is_that_of_the_wall_clock(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    told, wall = now(rig)
    assert told == pytest.approx(wall, abs=60_000_000_000)
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600_000_000_000)
    later, _ = now(rig)
    assert later - told == pytest.approx(3_600_000_000_000, abs=60_000_000_000), "it was set meanwhile"
