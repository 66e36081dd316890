"""A mover without a hub: its tunnels, its pipes, and a clock that the test sets."""

from __future__ import annotations

import array
import select
import time
from collections.abc import Callable
from typing import Any

from splicer.relay.api import TunnelLimits, TunnelSpec
from splicer.relay.pipes import Pipe
from splicer.relay.tunnel import Tunnel
from tests.relay.harness import FOREVER, Pair, Peer, pipe_of, tcp_pair
from tests.relay.movers import MakeMover
from tests.relay.registry import unread

KEY = 0xABC0
_TIMEOUT = 20.0  # real seconds after which a test that waits is stuck


class Played:
    """A tunnel and its outer ends."""

    def __init__(self, tunnel: Tunnel, client: Pair, pod: Pair) -> None:
        self.tunnel = tunnel
        self.client, self.pod = Peer(client[0]), Peer(pod[0])
        self.inner = client[1], pod[1]

    @property
    def counts(self) -> tuple[int, int]:
        return self.tunnel.to_pod, self.tunnel.to_client

    def close(self) -> None:
        for sock in (self.client.sock, self.pod.sock, *self.inner):
            sock.close()


class Rig:
    """What a test plays with; `pipes` are all that were given, by their places in the journal."""

    def __init__(self, make_mover: MakeMover) -> None:
        self.words = array.array("Q", bytes(8 * 64))
        self.mover = make_mover(self.words)
        self.pipes: list[Pipe] = []
        self.now = 1000.0
        self._played: list[Played] = []

    def give(self, count: int = 1) -> None:
        """So many pipes; the first of all is put by."""
        for _ in range(count):
            pipe = pipe_of(1 << 16)
            pipe.place = len(self.pipes)
            self.pipes.append(pipe)
            self.mover.pipes.give(pipe)

    def play(
        self,
        limits: TunnelLimits = FOREVER,
        pair: Callable[[], Pair] = tcp_pair,
        before: Callable[[Tunnel], None] = lambda _: None,
        **more: Any,
    ) -> Played:
        """A tunnel that moves from now on; `before`: what is done first."""
        client, pod = pair(), pair()
        spec = TunnelSpec(client[1], pod[1], limits, owner=None, key=KEY, **more)
        played = Played(self.mover.make(spec, self.now), client, pod)
        self._played.append(played)
        before(played.tunnel)
        self.mover.add(played.tunnel, self.now)
        return played

    def turn(self) -> None:
        """A second later all that is there is moved."""
        self.now += 1.0
        while self.mover.step(self.now):
            pass

    def until(self, true: Callable[[], object]) -> None:
        """Turn until it is."""
        give_up = time.monotonic() + _TIMEOUT
        while not true():
            assert time.monotonic() < give_up, "it never came true"
            self.turn()

    @property
    def dirty(self) -> list[Pipe]:
        """Pipes that hold bytes."""
        return [pipe for pipe in self.pipes if unread(pipe.read_fd)]

    def sleeps(self) -> bool:
        """Whether there is nothing to move, so that nobody is woken."""
        return not select.select([self.mover.fileno()], [], [], 0.0)[0]

    def close(self) -> None:
        self.mover.close()
        for pipe in self.pipes:
            pipe.close()
        for played in self._played:
            played.close()
