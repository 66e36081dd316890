"""The mover whose usual events are handled in C: `_mover.c`.

The C code handles an event completely or returns its leg here; then the Python code of `directions.py` goes on, with
the same objects. So there is one mover with two ways for a frame, and all that is rare is written once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from enum import IntEnum
from time import monotonic
from typing import Any

import trio

from splicer.relay.clean_pipes import FEW
from splicer.relay.leaving import break_off, read_eof, why_ended, write_failed
from splicer.relay.mover import Mover
from splicer.relay.state import Engine
from splicer.relay.tunnel import Leg, Tunnel


class _Why(IntEnum):
    """Why the engine returns a leg; `_mover.c` has the same names, and MOVED, which it keeps to itself."""

    EVENT = 1
    READ_FAILED = 2
    WRITE_FAILED = 3
    WATCH_FAILED = 4
    END = 5


class NativeMover(Mover):
    """Moves bytes in C; see `ByteMover`.

    Args:
        words: the journal; its buffer is in use until the mover is closed.
    """

    def __init__(self, words: Any) -> None:
        super().__init__(words)
        self._engine = Engine(self.fileno(), words, self._clean, self._starved, self.pipes.give)
        self._legs = self._engine

    def close(self) -> None:
        """See `ByteMover`."""
        self._engine.close()
        super().close()

    @property
    def batches(self) -> int:
        """See `ByteMover`."""
        return self._engine.batches

    def invite(self, epoll: int) -> bool:
        """See `ByteMover`."""
        self._engine.invited = epoll
        return super().invite(epoll)

    def watch(self, leg: Leg) -> None:
        """Register the events that this leg needs."""
        if leg.tunnel.result is None:
            self._engine.watch(leg)

    def drop(self, tunnel: Tunnel) -> None:
        """See `ByteMover`."""
        forget = self._engine.forget
        for leg in (tunnel.client, tunnel.pod):
            if forget(leg):
                self.spend(leg)

    def attend(self, turn: Callable[[], object], delay: float) -> Callable[[], object]:
        """See `ByteMover`."""
        self._engine.attend(turn, delay)
        return self._engine.turn_if_due

    def count_steps(self, beat: memoryview[int]) -> Callable[[trio.lowlevel.Task], object]:
        """See `ByteMover`."""
        self._engine.count_steps(beat)
        return self._engine.before_task_step

    def look(self) -> bool:
        """See `ByteMover`."""
        return self._engine.look()

    def step(self, now: float) -> bool:
        """See `ByteMover`."""
        before = self._engine.batches
        self._run(now, -math.inf, once=True)
        return self._engine.batches > before

    def host(self, now: float, until: float) -> bool:
        """See `ByteMover`."""
        return not self.news.pending and self._run(now, until, once=False)

    def _run(self, now: float, until: float, *, once: bool) -> bool:
        engine, news = self._engine, self.news
        offset = now - monotonic()
        found = engine.run(now, until, once)
        while not isinstance(found, bool):
            self._go_on(found, engine.now)
            if not once:
                now = offset + monotonic()
            found = engine.run(now, -math.inf if news.pending else until, False)
        if engine.changed:
            engine.changed = False
            news.pending = news.pending or bool(self.pipes.spent) or len(self._clean) < FEW
        if self._starved and (self._clean or self.pipes.has_last):
            self.feed(engine.now)
        return found

    def _go_on(self, leg: Leg, now: float) -> None:
        engine = self._engine
        why = engine.why
        try:
            if why == _Why.END:
                read_eof(self, leg, now)
                return
            if why == _Why.EVENT:
                self._handle(leg, engine.mask, now)
                return
            error = OSError(engine.error, os.strerror(engine.error))
            if why == _Why.READ_FAILED:
                break_off(self, leg, leg.broken or why_ended(leg, error), now)
            elif why == _Why.WRITE_FAILED:
                write_failed(self, leg, error, now)
                if leg.parked:
                    self.watch(leg)
                    self.watch(leg.peer)
            else:
                self._crash(leg, error)
        except MemoryError:
            raise  # see `Mover`
        except Exception as failure:  # noqa: BLE001 - a bug ends one call, whose task raises it
            self._crash(leg, failure)
