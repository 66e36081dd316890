"""A light call: the actions of its client and its pod, and its outcome."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Protocol

from attrs import Factory, define, field

from tests.kit.calls import handshake
from tests.kit.pods import switching
from tests.stress.report import Kind
from tests.stress.side import Side
from tests.stress.streams import End, Flow

_HASTY = 0.3  # the share of pods that send bytes together with their 101


class Calls(Protocol):
    """The interface of the process to its calls."""

    def side(self, sock: socket.socket, heard: Callable[[Side, bytes], None], ended: Callable[[Side], None]) -> Side:
        """Register a socket for its events."""

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Call a function later."""

    def answered(self, call: Call, status: int | None) -> None:
        """Note that a handshake is over."""

    def lost(self, call: Call, kind: Kind, detail: str) -> None:
        """Note that a call went wrong."""

    def over(self, call: Call) -> None:
        """Note that a call has closed all its sockets."""


@define(eq=False)
class Call:
    """One call, from its handshake to its end.

    Args:
        calls: the process.
        number: of the call.
        behaviour: the name of its behaviour.
        rng: decides the rest.
        lives: the length of the call in seconds.
    """

    calls: Calls
    number: int
    behaviour: str
    rng: Random
    lives: float
    begun: float = Factory(time.monotonic)
    up: Flow = field(init=False)
    down: Flow = field(init=False)
    client: Side = field(init=False)
    pod: Side | None = None
    is_open: bool = False
    completed: bool = False
    over: bool = False

    def __attrs_post_init__(self) -> None:
        self.up = Flow.of(f"call {self.number}, client to pod", f"{self.number} up", self._fail)
        self.down = Flow.of(f"call {self.number}, pod to client", f"{self.number} down", self._fail)

    def begin(self, edge: tuple[str, int], pod: str) -> None:
        """Ask the edge for a tunnel to a pod."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(edge)  # its fault is read from the socket, as any later one
        self.client = self.calls.side(sock, self._answered, self._client_ended)
        self.client.say(handshake(f"/ws1/{pod}/t/{self.number}"))

    def taken(self, pod: Side, head: bytes) -> None:
        """Handle the request that a pod has received."""
        if self.over:
            pod.close()
            return
        self.pod = pod
        pod.ended = self._pod_ended
        pod.begin(self.down, self.up, echoes=self.behaviour in ECHOES)
        pod.say(switching(head))
        if self.rng.random() < _HASTY:
            pod.owe(self.rng.randint(1, 20_000))

    def hang_up(self) -> None:
        """Have the client end its stream."""
        if self.is_open and not self.over:
            self.client.resume()
            self.client.owe(0, last=True)

    def look(self, patience: float) -> None:
        """Check whether something has been overdue for so many seconds."""
        if not self.is_open and not self.over and time.monotonic() - self.begun > patience:
            self._lose(Kind.HANDSHAKE, f"call {self.number}: no answer within {patience:g} s")
        for flow in (self.up, self.down):
            if flow.waits() > patience and not self.over:
                flow.stuck(patience)

    def _answered(self, _: Side, head: bytes) -> None:
        status = int(head.split(b" ", 2)[1])
        self.calls.answered(self, status)
        if status != 101:
            self._end()
            return
        self.is_open = True
        self.client.begin(self.up, self.down)
        if self.pod is None or not self.pod.is_open:
            self._lose(Kind.LOST, f"call {self.number}: a 101, and its pod has gone")
            return
        self.calls.after(0.0, self._go_on)
        self.calls.after(self.lives, self.hang_up)

    def _go_on(self) -> None:
        if not self.over and self.up.finished is None and self.pod is not None:
            self.calls.after(ACTS[self.behaviour](self, self.client, self.pod), self._go_on)

    def _client_ended(self, _: Side) -> None:
        if not self.is_open:
            self.calls.answered(self, None)
            self._end()
        self._look_for_end()

    # Before the client has its 101, this is no fault yet: its own connection is about to end as well.
    def _pod_ended(self, pod: Side) -> None:
        if not self.is_open:
            pod.close()
        else:
            pod.resume()
            pod.owe(0, last=True)
            self._look_for_end()

    def _look_for_end(self) -> None:
        if self.up.seen is End.EOF and self.down.seen is End.EOF and not self.over:
            self.completed = True
            self._end()

    def _fail(self, kind: Kind, detail: str) -> None:
        if self.is_open and not self.over:
            self._lose(kind, detail)

    def _lose(self, kind: Kind, detail: str) -> None:
        self.calls.lost(self, kind, detail)
        self._end()

    def _end(self) -> None:
        self.over = True
        self.client.close()
        if self.pod is not None:
            self.pod.close()
        self.calls.over(self)


# Each does one thing, and returns the seconds until the next one.


def _paced(call: Call, client: Side, pod: Side) -> float:
    """Send a frame in each direction."""
    client.owe(call.rng.randint(160, 640))
    pod.owe(call.rng.randint(160, 640))
    return call.rng.uniform(0.5, 1.5)


def _burst(call: Call, client: Side, _: Side) -> float:
    """Send bytes that the pod echoes."""
    client.owe(int(2 ** call.rng.uniform(0, 16)))
    return call.rng.uniform(1, 10)


def _rare(call: Call, client: Side, _: Side) -> float:
    """Send a byte or two, which the pod echoes, after a long silence."""
    client.owe(call.rng.randint(1, 640))
    return call.rng.uniform(20, 90)


def _lagging(call: Call, client: Side, pod: Side) -> float:
    """Have one side send more than the path can hold, while the other does not read."""
    reader, writer = (client, pod) if call.rng.random() < 0.5 else (pod, client)
    reader.pause()
    writer.owe(call.rng.randint(100_000, 400_000))
    call.calls.after(call.rng.uniform(0.2, 2.0), partial(_read_on, reader))
    return call.rng.uniform(5, 15)


def _read_on(reader: Side) -> None:
    if reader.is_open:
        reader.resume()


ACTS: dict[str, Callable[[Call, Side, Side], float]] = {
    "paced": _paced,
    "bursts": _burst,
    "rare": _rare,
    "lagging": _lagging,
}
ECHOES = ("bursts", "rare")
WEIGHTS = {"paced": 60, "bursts": 20, "rare": 15, "lagging": 5}
