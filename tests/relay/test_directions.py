"""What any mover does, without tasks and without a vault: plain calls on real sockets."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splicer.errors import Side
from splicer.relay.api import TunnelEnd, TunnelLimits
from splicer.relay.tunnel import Tunnel
from tests.kit.laws import examples
from tests.relay.harness import PLENTY, Peer, small_tcp_pair, unix_pair
from tests.relay.movers import MOVERS, MakeMover
from tests.relay.rig import KEY, Played, Rig

LIMITS = TunnelLimits(idle=60.0, half_closed=5.0, lifetime=500.0)
DATA = random.Random(1).randbytes(PLENTY)


@pytest.fixture
def rig(make_mover: MakeMover) -> Iterator[Rig]:
    rig = Rig(make_mover)
    yield rig
    rig.close()


class Reader:
    """What an outer end has got so far."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.got = bytearray()

    def pull(self, most: int = 1 << 20) -> bytearray:
        """Read once, if anything is there; all that has come."""
        with suppress(BlockingIOError):
            self.got += self._peer.sock.recv(most)
        return self.got


def drained(peer: Peer) -> bytes:
    """What is there to be read."""
    return bytes(Reader(peer).pull())


def park(rig: Rig, writer: Peer, data: bytes = DATA) -> None:
    """Write until a pipe more is full, and nothing on the way takes a byte."""
    dirty, view = len(rig.dirty), memoryview(data)
    while (count := writer.offer(view)) or len(rig.dirty) == dirty:
        view = view[count:]
        rig.turn()


def ended(rig: Rig) -> list[tuple[Tunnel, TunnelEnd | None]]:
    return [(tunnel, tunnel.result) for tunnel in rig.mover.news.take_ended()]


# ---- frames ----


def test_a_frame_moves_and_leaves_its_pipe_clean(rig: Rig) -> None:
    rig.give(2)
    call = rig.play()
    for sender, reader, counts, word in (
        (call.client, call.pod, (5, 0), KEY),
        (call.pod, call.client, (5, 5), KEY | 1),
    ):
        sender.offer(b"frame")
        read = Reader(reader)
        rig.until(read.pull)
        assert read.got == b"frame"
        assert call.counts == counts
        assert call.tunnel.idle(rig.now + 2.0) >= 2.0
        assert rig.words[rig.pipes[1].place] == word, "the journal said so before the pipe was filled"
    assert (rig.mover.pipes.count, rig.dirty, rig.mover.pipes.take_spent()) == (1, [], [])
    assert rig.sleeps()


def test_what_moves_says_nothing_of_which_somebody_must_hear(rig: Rig) -> None:
    rig.give(2)
    call = rig.play()
    rig.mover.news.pending = False
    call.client.offer(b"frame")
    rig.until(lambda: not call.pod.is_quiet())
    assert not rig.mover.news.pending


def test_the_101_is_no_byte_of_the_tunnel(rig: Rig) -> None:
    rig.give(2)

    def load(tunnel: Tunnel) -> None:
        pipe = tunnel.pod.pipe = rig.mover.pipes.take()
        assert pipe is not None
        tunnel.pod.parked = os.write(pipe.write_fd, b"101 and more")

    call = rig.play(before=load, uncounted=3)
    assert drained(call.client) == b"101 and more"
    assert call.counts == (0, 9)
    assert rig.mover.pipes.count == 1


# ---- backpressure ----


def test_parked_bytes_are_in_a_pipe_of_which_the_journal_says_whose_they_are(rig: Rig) -> None:
    rig.give(4)
    call = rig.play(pair=small_tcp_pair)
    park(rig, call.client)
    [up] = rig.dirty
    park(rig, call.pod)
    [down] = [pipe for pipe in rig.dirty if pipe is not up]
    assert (rig.words[up.place], rig.words[down.place]) == (KEY, KEY | 1)
    assert rig.mover.news.pending, "pipes were taken: more may be needed"
    assert rig.sleeps()
    reader = Reader(call.pod)
    rig.until(lambda: len(reader.pull()) == call.client.sent)
    assert reader.got == DATA[: call.client.sent]
    assert rig.dirty == [down]


# ---- pipes ----


def test_without_a_pipe_bytes_stay_in_the_source_and_nobody_is_woken_for_them(rig: Rig) -> None:
    call = rig.play()
    call.client.offer(b"frame")
    rig.until(lambda: rig.mover.starved)
    assert rig.mover.news.pending
    assert rig.sleeps()
    call.client.offer(b" and more")
    rig.turn()
    assert (rig.sleeps(), call.pod.is_quiet(), rig.mover.starved) == (True, True, 1)
    rig.give()
    rig.mover.feed(rig.now)
    rig.until(lambda: call.counts == (14, 0))
    assert drained(call.pod) == b"frame and more"
    assert (rig.mover.starved, rig.mover.pipes.has_last) == (0, True)


def test_the_pipe_that_is_put_by_is_for_those_whose_peer_has_room(rig: Rig) -> None:
    rig.give()
    slow, fast = rig.play(pair=small_tcp_pair), rig.play()
    view = memoryview(DATA)
    while (count := slow.client.offer(view)) or not rig.sleeps():
        view = view[count:]
        rig.turn()
    assert (rig.dirty, rig.mover.starved, rig.mover.pipes.has_last) == ([], 0, True)
    for number in range(5):
        fast.pod.offer(b"%d" % number)
        rig.until(lambda: not fast.client.is_quiet())
        assert drained(fast.client) == b"%d" % number
    reader = Reader(slow.pod)
    rig.until(lambda: len(reader.pull()) == slow.client.sent)
    assert reader.got == DATA[: slow.client.sent]


def test_a_dirty_pipe_is_spent_and_never_used_again(rig: Rig) -> None:
    rig.give(3)
    call = rig.play(pair=small_tcp_pair)
    park(rig, call.client)
    dirty = rig.dirty
    rig.mover.end(call.tunnel, TunnelEnd(Side.PROXY, "drain"))
    assert ended(rig) == [(call.tunnel, TunnelEnd(Side.PROXY, "drain"))]
    assert rig.mover.news.pending
    assert list(rig.mover.pipes.take_spent()) == dirty
    assert (rig.mover.pipes.count, rig.mover.pipes.take_spent()) == (1, [])


# ---- ends ----


@pytest.mark.parametrize("side", [Side.CLIENT, Side.POD])
def test_an_end_of_stream_comes_after_the_bytes_and_leaves_the_other_way_open(rig: Rig, side: Side) -> None:
    rig.give(3)
    call = rig.play(LIMITS, pair=small_tcp_pair)
    assert rig.mover.news.take_due() == rig.now + 60.0
    leaver, stayer = (call.client, call.pod) if side is Side.CLIENT else (call.pod, call.client)
    park(rig, leaver)
    leaver.half_close()
    reader = Reader(stayer)
    rig.until(lambda: len(reader.pull()) == leaver.sent and call.tunnel.closer)
    assert reader.got == DATA[: leaver.sent]
    assert rig.mover.news.take_due() == call.tunnel.due() == call.tunnel.last + 5.0
    stayer.offer(b"the rest")
    rig.until(lambda: not leaver.is_quiet())
    assert leaver.sock.recv(100) == b"the rest"
    assert ended(rig) == []
    stayer.half_close()
    rig.until(lambda: not call.tunnel.alive)
    assert ended(rig) == [(call.tunnel, TunnelEnd(side, "eof"))]
    assert rig.sleeps()


@pytest.mark.parametrize("side", [Side.CLIENT, Side.POD])
def test_a_reset_ends_the_tunnel_as_a_reset(rig: Rig, side: Side) -> None:
    rig.give(2)
    call = rig.play()
    (call.client if side is Side.CLIENT else call.pod).reset()
    rig.until(lambda: not call.tunnel.alive)
    assert ended(rig) == [(call.tunnel, TunnelEnd(side, "reset", reset=True))]
    assert ended(rig) == [], "it is told once"


def test_a_break_with_bytes_on_their_way_is_flushed_first_and_is_the_end_whatever_else_comes(rig: Rig) -> None:
    rig.give(3)
    call = rig.play(pair=small_tcp_pair)
    park(rig, call.client)
    reader = Reader(call.pod)
    call.client.reset()
    rig.until(lambda: reader.pull(2000) and rig.mover.news.take_flushing() == [call.tunnel.pod])
    assert call.tunnel.alive
    rig.mover.end(call.tunnel, TunnelEnd(Side.PROXY, "drain"))
    assert ended(rig) == [(call.tunnel, TunnelEnd(Side.CLIENT, "reset", reset=True))]
    assert DATA.startswith(reader.got)
    assert call.counts[0] <= call.client.sent, "what was not acknowledged has not arrived"


def test_one_that_is_lost_delivers_what_it_had_sent(rig: Rig) -> None:
    rig.give(3)
    call = rig.play()
    call.client.offer(b"last words")
    rig.until(lambda: not call.pod.is_quiet())
    rig.mover.lose(call.tunnel.client, rig.now)
    rig.until(lambda: not call.tunnel.alive)
    assert ended(rig) == [(call.tunnel, TunnelEnd(Side.CLIENT, "timed_out"))]
    assert drained(call.pod) == b"last words"


def test_of_one_that_is_dropped_nothing_moves_any_more(rig: Rig) -> None:
    rig.give(3)
    call = rig.play(pair=small_tcp_pair)
    park(rig, call.client)
    dirty = rig.dirty
    call.pod.offer(b"too late")
    rig.mover.drop(call.tunnel)
    assert list(rig.mover.pipes.take_spent()) == dirty
    rig.turn()
    assert (rig.sleeps(), call.client.is_quiet(), ended(rig)) == (True, True, [])
    rig.mover.drop(call.tunnel)
    assert rig.mover.pipes.take_spent() == []


def test_never_has_no_deadline(rig: Rig) -> None:
    rig.play()
    assert rig.mover.news.take_due() == math.inf


# ---- any order of anything ----

_SIDES = st.sampled_from([0, 1])
_STEPS = st.one_of(
    st.tuples(st.just("write"), _SIDES, st.sampled_from([1, 160, 5000, 300_000])),
    st.tuples(st.just("read"), _SIDES, st.sampled_from([1, 160, 5000, 300_000])),
    st.tuples(st.just("half close"), _SIDES, st.just(0)),
    st.tuples(st.just("give"), st.just(0), st.just(0)),
    st.tuples(st.just("take"), st.just(0), st.just(0)),
    st.tuples(st.just("turn"), st.just(0), st.just(0)),
)


class _Model:
    """Two ends, and what must come of what they sent."""

    def __init__(self, call: Played) -> None:
        self.peers = call.client, call.pod
        self.readers = [Reader(peer) for peer in self.peers]
        self.finished = [False, False]

    def take(self, rig: Rig, what: str, which: int, size: int) -> None:
        peer = self.peers[which]
        match what:
            case "write" if not self.finished[which]:
                peer.offer(DATA[peer.sent : peer.sent + size])
            case "read":
                self.readers[which].pull(size)
            case "half close" if not self.finished[which]:
                self.finished[which] = True
                peer.half_close()
            case "give" if len(rig.pipes) < 8:
                rig.give()
                rig.mover.feed(rig.now)
            case "take":
                rig.mover.pipes.take()  # it is another's now
            case "turn":
                rig.turn()


@given(st.lists(_STEPS, max_size=40))
@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("name", MOVERS)
def test_whatever_comes_in_whatever_order_all_of_it_arrives_once(name: str, steps: list[tuple[str, int, int]]) -> None:
    rig = Rig(MOVERS[name])
    try:
        call = rig.play(pair=unix_pair)
        model = _Model(call)
        for step in steps:
            model.take(rig, *step)
            assert len(rig.dirty) <= 2
        rig.give(2)
        rig.mover.feed(rig.now)
        for which in (0, 1):
            model.take(rig, "half close", which, 0)
        client, pod = model.readers
        rig.until(lambda: (len(client.pull()), len(pod.pull())) == (call.pod.sent, call.client.sent))
        assert client.got == DATA[: call.pod.sent]
        assert pod.got == DATA[: call.client.sent]
        rig.until(lambda: not call.tunnel.alive)
        assert call.counts == (call.client.sent, call.pod.sent)
        [(tunnel, end)] = ended(rig)
        assert (tunnel, end and end.reason, rig.dirty) == (call.tunnel, "eof", [])
    finally:
        rig.close()
