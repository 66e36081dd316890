"""The mover in C does what the one in Python does, event by event: the same bytes, pipes, masks, words and ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splicer.errors import Side
from splicer.relay.api import TunnelEnd
from splicer.relay.mover import Mover
from splicer.relay.native import NativeMover
from splicer.relay.state import NATIVE
from tests.kit.descriptors import none_left_open
from tests.kit.laws import examples
from tests.relay.harness import Peer, unix_pair
from tests.relay.movers import MakeMover
from tests.relay.rig import Played, Rig

pytestmark = pytest.mark.skipif(not NATIVE, reason="the C extension is not built: there was no compiler")

_TRIES = 5
_CALL = st.integers(0, 2)
_SIDE = st.sampled_from(["client", "pod"])


def _actions(sizes: list[int]) -> st.SearchStrategy[tuple[Any, ...]]:
    size = st.sampled_from(sizes)
    return st.one_of(
        st.tuples(st.just("write"), _CALL, _SIDE, size),
        st.tuples(st.just("write"), _CALL, _SIDE, size),
        st.tuples(st.just("read"), _CALL, _SIDE, size),
        st.tuples(st.just("half close"), _CALL, _SIDE),
        st.tuples(st.just("close"), _CALL, _SIDE),
        st.tuples(st.just("turn")),
        st.tuples(st.just("turn")),
        st.tuples(st.just("give"), st.integers(1, 3)),
        st.tuples(st.just("take"), st.integers(1, 3)),
        st.tuples(st.just("end"), _CALL),
        st.tuples(st.just("plain"), _CALL),
    )


class Stage:
    """One mover with three tunnels, and what came out of them."""

    def __init__(self, make_mover: MakeMover, pipes: int) -> None:
        self.rig = Rig(make_mover)
        self.rig.give(pipes)
        self.calls = [self.rig.play(pair=unix_pair) for _ in range(3)]
        self.legs = [(call.tunnel.client, call.tunnel.pod) for call in self.calls]
        self.got: dict[tuple[int, str], bytes] = {}
        self._written = 0

    def act(self, action: tuple[Any, ...]) -> None:
        """Do one thing to it."""
        match action:
            case ("write", number, side, size):
                self._written += 1
                with suppress(OSError):
                    self._peer(number, side).offer(bytes([self._written % 256]) * size)
            case ("read", number, side, size):
                with suppress(OSError):
                    data = self._peer(number, side).sock.recv(size)
                    self.got[number, side] = self.got.get((number, side), b"") + data
            case ("half close", number, side):
                with suppress(OSError):
                    self._peer(number, side).half_close()
            case ("close", number, side):
                self._peer(number, side).close()
            case ("give", count):
                self.rig.give(count)
            case ("take", count):
                for _ in range(count):
                    self.rig.mover.pipes.take()
            case ("end", number):
                if self.calls[number].tunnel.result is None:
                    self.rig.mover.end(self.calls[number].tunnel, TunnelEnd(Side.PROXY, "asked"))
            case ("plain", number):
                self.legs[number][0].plain = True
            case ("turn",):
                self.rig.turn()
                self.rig.mover.feed(self.rig.now)

    def _peer(self, number: int, side: str) -> Peer:
        call: Played = self.calls[number]
        return call.client if side == "client" else call.pod

    def give_plenty(self) -> None:
        """No direction waits for a pipe any more."""
        self.rig.give(12)
        self.act(("turn",))

    def read_all(self) -> None:
        """Read what is there until nothing comes any more."""
        before = None
        while before != (before := {key: len(data) for key, data in self.got.items()}) or not before:
            for number in range(3):
                for side in ("client", "pod"):
                    self.act(("read", number, side, 1 << 20))
            self.act(("turn",))
            if not self.got:
                return

    def end(self) -> list[object]:
        """What came out of it."""
        return [
            {key: data for key, data in self.got.items() if data},
            [(call.tunnel.result, call.tunnel.closer, call.tunnel.error) for call in self.calls],
            [(leg.eof, leg.over, leg.discard, leg.starved, leg.broken) for legs in self.legs for leg in legs],
            self.rig.mover.starved,
        ]

    def facts(self) -> list[object]:
        """All that can be seen of it."""
        mover = self.rig.mover
        return [
            self.got,
            [
                (
                    leg.parked > 0,
                    leg.parked + leg.total,
                    leg.mask,
                    leg.eof,
                    leg.over,
                    leg.discard,
                    leg.starved,
                    leg.broken,
                )
                for legs in self.legs
                for leg in legs
            ],
            [(call.tunnel.result, call.tunnel.last, call.tunnel.closer, call.tunnel.error) for call in self.calls],
            [leg.pipe.place if leg.pipe is not None else None for legs in self.legs for leg in legs],
            list(self.rig.words),
            (mover.pipes.count, mover.pipes.has_last, mover.starved, len(self.rig.dirty)),
        ]


@contextmanager
def staged(make_mover: MakeMover, pipes: int) -> Iterator[Stage]:
    stage = Stage(make_mover, pipes)
    try:
        yield stage
    finally:
        for call in stage.calls:
            if call.tunnel.result is None:
                stage.rig.mover.end(call.tunnel, TunnelEnd(Side.PROXY, "asked"))
        stage.rig.mover.pipes.take_spent()
        for call in stage.calls:
            call.tunnel.break_cycle()
        stage.rig.close()


def _are_the_same(actions: list[tuple[Any, ...]], pipes: int) -> None:
    with none_left_open(), staged(Mover, pipes) as plain, staged(NativeMover, pipes) as native:
        for action in [*actions, ("turn",)]:
            for stage in (plain, native):
                stage.act(action)
            assert native.facts() == plain.facts(), action


# How many bytes a full socket takes depends on what the kernel's memory looks like just then. So with large pieces only
# what comes out in the end is compared; and again if it differs, for who closes meanwhile may find a byte more or less.
def _end_alike(actions: list[tuple[Any, ...]], pipes: int) -> None:
    for number in range(_TRIES):
        with none_left_open(), staged(Mover, pipes) as plain, staged(NativeMover, pipes) as native:
            for stage in (plain, native):
                for action in actions:
                    stage.act(action)
                stage.give_plenty()
                stage.read_all()
            if native.end() == plain.end():
                return
            assert number + 1 < _TRIES, (native.end(), plain.end())


@given(st.lists(_actions([1, 160, 3000]), max_size=40), st.integers(0, 6))
@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
def test_any_order_of_events_is_handled_as_python_would(actions: list[tuple[Any, ...]], pipes: int) -> None:
    _are_the_same(actions, pipes)


@pytest.mark.slow
@given(st.lists(_actions([1, 160, 3000]), max_size=60), st.integers(0, 6))
@settings(max_examples=examples(4000), deadline=None, suppress_health_check=list(HealthCheck))
def test_very_many_orders_of_events_are(actions: list[tuple[Any, ...]], pipes: int) -> None:
    _are_the_same(actions, pipes)


@given(st.lists(_actions([160, 70_000, 400_000]), max_size=40), st.integers(0, 6))
@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
def test_with_full_sockets_the_same_comes_out(actions: list[tuple[Any, ...]], pipes: int) -> None:
    _end_alike(actions, pipes)


@pytest.mark.slow
@given(st.lists(_actions([160, 70_000, 400_000]), max_size=60), st.integers(0, 6))
@settings(max_examples=examples(2000), deadline=None, suppress_health_check=list(HealthCheck))
def test_with_full_sockets_very_much_comes_out_the_same(actions: list[tuple[Any, ...]], pipes: int) -> None:
    _end_alike(actions, pipes)


class _Careless(NativeMover):
    """Leaves it to nobody to look at what the engine gives back."""

    def _go_on(self, leg: Any, now: float) -> None:
        pass


def test_a_mover_that_does_something_else_is_found_out() -> None:
    actions = [("half close", 0, "client"), ("turn",)]
    with staged(Mover, 3) as plain, staged(_Careless, 3) as native:
        for action in actions:
            plain.act(action)
            if action != ("turn",):
                native.act(action)
        native.rig.mover.step(native.rig.now)
        assert native.facts() != plain.facts()


def test_what_is_no_leg_is_no_leg() -> None:
    mover = Rig(NativeMover)
    try:
        with pytest.raises(TypeError):
            mover.mover._engine[5] = "no leg"  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            mover.mover._engine["5"] = None  # type: ignore[attr-defined]
        with pytest.raises(OverflowError):
            mover.mover._engine[1 << 70] = None  # type: ignore[attr-defined]
        assert mover.mover._engine.get(5) is None  # type: ignore[attr-defined]
    finally:
        mover.close()
