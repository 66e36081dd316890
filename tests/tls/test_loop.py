"""The loop of a tls process: who comes first, and what a bug ends."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from splicer.tls.loop import HUP, IN, OUT, Loop


class Bench:
    """A loop, and descriptors with something to say."""

    def __init__(self, stack: ExitStack) -> None:
        self.crashes: list[tuple[Callable[..., None], Exception]] = []
        self.loop = Loop(lambda culprit, error: self.crashes.append((culprit, error)))
        self.seen: list[Any] = []
        self._stack = stack
        stack.callback(self.loop.close)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            self._stack.enter_context(sock)
            sock.setblocking(False)
        return ours, theirs

    def note(self, what: Any) -> Callable[..., None]:
        return lambda *_: self.seen.append(what)

    def end(self, *_: int) -> None:
        self.loop.over = True

    def run(self) -> list[Any]:
        """Until something ends it; what was seen."""
        self.loop.later(20, self.end)
        self.loop.run()
        return self.seen


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack)


def test_a_handler_gets_the_events_of_its_descriptor(bench: Bench) -> None:
    ours, theirs = bench.pair()

    def heard(mask: int) -> None:
        bench.seen.append((mask, ours.recv(10)))
        if len(bench.seen) == 1:
            theirs.close()
        else:
            bench.end()

    theirs.send(b"hello")
    bench.loop.watch(ours.fileno(), IN, heard)
    (first, data), (second, rest) = bench.run()
    assert (first, data, rest) == (IN, b"hello", b"")
    assert second & HUP


def test_the_events_and_the_handler_can_be_changed(bench: Bench) -> None:
    ours, _ = bench.pair()
    bench.loop.watch(ours.fileno(), IN, bench.note("in"))
    bench.loop.change(ours.fileno(), OUT)

    def out(mask: int) -> None:
        bench.seen.append(mask)
        bench.loop.handle(ours.fileno(), bench.end)

    bench.loop.handle(ours.fileno(), out)
    assert bench.run() == [OUT]


# What is closed in the middle of a batch must get none of the rest of it: its number may be another connection's soon.
def test_one_that_is_forgotten_hears_nothing_more_of_the_same_batch(bench: Bench) -> None:
    pairs = [bench.pair() for _ in range(2)]
    for _, theirs in pairs:
        theirs.send(b"x")

    def heard(own: socket.socket) -> Callable[[int], None]:
        def hear(_: int) -> None:
            bench.seen.append(own)
            for ours, _theirs in pairs:
                bench.loop.forget(ours.fileno())
            bench.loop.queue(bench.end)

        return hear

    for ours, _ in pairs:
        bench.loop.watch(ours.fileno(), IN, heard(ours))
    assert len(bench.run()) == 1
    assert all(ours.recv(1) == b"x" for ours, _ in pairs), "they are still open"


def test_a_storm_of_steps_holds_up_no_frame(bench: Bench) -> None:
    ours, theirs = bench.pair()

    def frame(_: int) -> None:
        ours.recv(1)
        bench.seen.append("frame")
        theirs.send(b"x")

    bench.loop.watch(ours.fileno(), IN, frame)
    theirs.send(b"x")
    for _ in range(40):
        bench.loop.queue(bench.note("step"))
    bench.loop.queue(bench.end)
    seen = bench.run()
    gaps = "".join("f" if each == "frame" else "s" for each in seen).split("f")
    assert seen.count("step") == 40
    assert max(map(len, gaps)) <= 4


def test_steps_come_in_their_order_and_those_that_they_queue_later(bench: Bench) -> None:
    def first() -> None:
        bench.seen.append(1)
        bench.loop.queue(bench.note(3))
        bench.loop.queue(bench.end)

    bench.loop.queue(first)
    bench.loop.queue(bench.note(2))
    assert bench.run() == [1, 2, 3]


def test_timers_come_by_their_time_and_not_if_they_are_cancelled(bench: Bench) -> None:
    bench.loop.later(0.02, bench.end)
    bench.loop.later(0.01, bench.note("second"))
    bench.loop.later(0, bench.note("first"))
    bench.loop.later(0.005, bench.note("never")).cancel()
    assert bench.run() == ["first", "second"]


def test_timers_of_one_moment_come_in_their_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as at_one_moment:
        at_one_moment.setattr("splicer.tls.loop.time.monotonic", lambda: 0.0)
        for number in range(5):
            bench.loop.later(0, bench.note(number))
        bench.loop.later(0, bench.end)
    assert bench.run() == [0, 1, 2, 3, 4]


def test_a_bug_ends_what_it_belongs_to_and_nothing_else(bench: Bench) -> None:
    (ours, theirs), error = bench.pair(), ZeroDivisionError("a bug")

    def fail(*_: int) -> None:
        bench.loop.forget(ours.fileno())
        raise error

    theirs.send(b"x")
    bench.loop.watch(ours.fileno(), IN, fail)
    bench.loop.queue(fail)
    bench.loop.later(0.005, fail)
    bench.loop.later(0.01, bench.note("alive"))
    bench.loop.later(0.02, bench.end)
    assert bench.run() == ["alive"]
    assert bench.crashes == [(fail, error)] * 3
