"""Both ends of thousands of calls, in one process and one loop; every byte is checked.

`python -m tests.stress.calls SETTING`, a `Setting` as JSON. It reads commands from standard input, one on a line:
``window NAME`` attributes silences from now on to NAME; ``figures`` and ``finish`` are answered by a line of JSON: the
figures so far, or those when all calls have ended.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import os
import re
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random

from attrs import Factory, asdict, define, frozen

from tests.stress.call import WEIGHTS, Call
from tests.stress.report import Kind
from tests.stress.side import Side
from tests.stress.silences import Silences

_BEFORE = "before"  # the first window
_CHECK_INTERVAL = 1.0  # seconds between two checks of all calls
_NEXT_CALL_DELAY = 0.2  # seconds between the end of a call and the call that replaces it
_SHORT = (1.0, 30.0)  # seconds that a short call lasts
_NUMBER = re.compile(rb"^GET /t/(\d+) ")


@frozen
class Setting:
    """The load.

    Args:
        edge: its address.
        pods: name, address and port of each.
        calls: the number of calls at any time.
        rate: calls opened per second at first.
        short: the share of calls that end after some seconds, and are replaced.
        patience: seconds after which due bytes, an end or an answer count as missing.
        seed: decides the behaviour of all calls.
    """

    edge: tuple[str, int]
    pods: tuple[tuple[str, str, int], ...]
    calls: int
    rate: float = 100.0
    short: float = 0.1
    patience: float = 40.0
    seed: int = 1


@define(eq=False)
class Figures:
    """The outcomes of all calls so far.

    Args:
        open: calls that go on.
        opened: handshakes that got their 101.
        completed: calls that reached their planned end, by behaviour.
        dropped: handshakes that ended without an answer.
        statuses: handshakes with another answer than 101, by status.
        lost: calls that went wrong, and handshakes without an answer in time, by window.
        faults: the same as texts.
        received: correct bytes.
        silences: by window: the median, the 99th percentile and the longest, in seconds.
        longest_answer: the longest handshake in seconds.
        longest_turn: the longest time in seconds in which this process itself did not read.
    """

    open: int = 0
    opened: int = 0
    completed: Counter[str] = Factory(Counter)
    dropped: int = 0
    statuses: Counter[str] = Factory(Counter)
    lost: Counter[str] = Factory(Counter)
    faults: list[str] = Factory(list)
    received: int = 0
    silences: dict[str, tuple[float, float, float]] = Factory(dict)
    longest_answer: float = 0.0
    longest_turn: float = 0.0


class Loop:
    """The process; implements `Calls`.

    Args:
        setting: the load.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._figures = Figures()
        self._silences = Silences()
        self._window = _BEFORE
        self._poll = select.epoll()
        self._rng = Random(setting.seed)
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._calls: dict[int, Call] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers, self._order = itertools.count(), itertools.count()
        self._finishing = False
        self._input = b""

    def run(self) -> None:
        """Run until the end of its input."""
        self._register(sys.stdin.fileno(), lambda _: self._obey())
        for _, address, port in self._setting.pods:
            self._listen(address, port)
        for number in range(self._setting.calls):
            short = number < self._setting.calls * self._setting.short
            self.after(number / self._setting.rate, partial(self._open, short=short))
        self.after(_CHECK_INTERVAL, self._look)
        while sys.stdin.fileno() in self._handlers:
            events = self._poll.poll(max(0.0, self._due[0][0] - time.monotonic()))
            begun = time.monotonic()
            for fd, event in events:
                if handler := self._handlers.get(fd):  # else closed meanwhile
                    handler(event)
            while self._due and self._due[0][0] <= begun:
                heapq.heappop(self._due)[2]()
            self._figures.longest_turn = max(self._figures.longest_turn, time.monotonic() - begun)

    def side(self, sock: socket.socket, heard: Callable[[Side, bytes], None], ended: Callable[[Side], None]) -> Side:
        """See `Calls`."""
        side = Side(sock, self._poll, heard, ended)
        self._handlers[sock.fileno()] = side.handle
        return side

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """See `Calls`."""
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), act))

    def answered(self, call: Call, status: int | None) -> None:
        """See `Calls`."""
        figures = self._figures
        figures.longest_answer = max(figures.longest_answer, time.monotonic() - call.begun)
        if status is None:
            figures.dropped += 1
        elif status == 101:
            figures.opened += 1
            figures.open += 1
        else:
            figures.statuses[str(status)] += 1

    def lost(self, call: Call, kind: Kind, detail: str) -> None:
        """See `Calls`."""
        self._figures.lost[self._window] += 1
        age = time.monotonic() - call.begun
        self._figures.faults.append(f"{self._window}: {kind}: [{call.behaviour}, {age:.1f} s] {detail}")

    def over(self, call: Call) -> None:
        """See `Calls`."""
        del self._calls[call.number]
        if call.is_open:
            self._note_silence(call)
            self._figures.open -= 1
            self._figures.received += call.up.received + call.down.received
            self._figures.completed[call.behaviour] += call.completed
        if not self._finishing:
            self.after(_NEXT_CALL_DELAY, partial(self._open, short=call.lives < math.inf))

    def _open(self, *, short: bool) -> None:
        if self._finishing:
            return
        setting, rng, number = self._setting, self._rng, next(self._numbers)
        [behaviour] = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        lives = rng.uniform(*_SHORT) if short else math.inf
        call = self._calls[number] = Call(self, number, behaviour, Random(rng.random()), lives)
        call.begin(setting.edge, setting.pods[number % len(setting.pods)][0])

    def _listen(self, address: str, port: int) -> None:
        listener = socket.create_server((address, port), backlog=1024)
        listener.setblocking(False)
        self._register(listener.fileno(), lambda _: self._accept(listener))

    def _register(self, fd: int, handler: Callable[[int], None]) -> None:
        self._poll.register(fd, select.EPOLLIN)
        self._handlers[fd] = handler

    def _accept(self, listener: socket.socket) -> None:
        self.side(listener.accept()[0], self._take, Side.close)

    def _take(self, pod: Side, head: bytes) -> None:
        number = _NUMBER.search(head)
        call = self._calls.get(int(number[1])) if number else None
        if call is None:
            pod.close()
        else:
            call.taken(pod, head)

    def _look(self) -> None:
        for call in list(self._calls.values()):
            call.look(self._setting.patience)
        self.after(_CHECK_INTERVAL, self._look)

    def _note_silence(self, call: Call) -> None:
        self._silences.add(self._window, call.number, max(call.up.begin_window(), call.down.begin_window()))

    def _obey(self) -> None:
        data = os.read(sys.stdin.fileno(), 4096)
        if not data:
            del self._handlers[sys.stdin.fileno()]
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            word, _, window = line.decode().partition(" ")
            if word == "window":
                self._begin_window(window)
            elif word == "figures":
                self._tell()
            else:
                self._finish()

    def _begin_window(self, window: str) -> None:
        for call in self._calls.values():
            if call.is_open:
                self._note_silence(call)
        self._window = window

    def _finish(self) -> None:
        if not self._finishing:
            self._finishing = True
            for call in list(self._calls.values()):
                call.hang_up()
        if self._calls:
            self.after(_NEXT_CALL_DELAY, self._finish)
        else:
            self._tell()

    def _tell(self) -> None:
        self._figures.silences = self._silences.figures()
        print(json.dumps(asdict(self._figures)), flush=True)  # noqa: T201 - this is its output


def main() -> None:
    """Run the process."""
    setting = json.loads(sys.argv[1])
    pods = tuple(tuple(pod) for pod in setting.pop("pods"))
    Loop(Setting(edge=tuple(setting.pop("edge")), pods=pods, **setting)).run()


if __name__ == "__main__":
    main()
