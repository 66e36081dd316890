"""One direction of a tunnel: bytes that nobody can lose, double or swap unseen.

Every stream is a stretch of one long random block, from a place of its own on. Whoever knows the place knows which byte
comes next, so each byte is compared as it comes, and bytes that are wrong tell by where they stand in the block what
they are: later ones (some were lost), earlier ones (some came twice), or another stream's.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from enum import StrEnum

from attrs import define, field, frozen

from tests.stress.report import Kind

LARGEST = 1 << 18  # bytes of one send or receipt
_SIZE = 1 << 24
_BLOCK = random.Random("fire").randbytes(_SIZE)
_BLOCK += _BLOCK[:LARGEST]  # so that a stretch may run over the end
_VIEW = memoryview(_BLOCK)
_SAMPLE = 64  # wrong bytes that are kept
_TELLING = 8  # bytes whose place in the block is no chance
_NEAR = 1 << 21  # bytes; a longer jump is another stream's place


class End(StrEnum):
    """How a direction ended, for its sender or for its receiver."""

    EOF = "eof"
    RESET = "reset"


@frozen
class Wrong:
    """The first wrong bytes of a stream: what came where byte number `offset` was due.

    `place` is where they stand in the block; -1: nowhere, or they are too few to tell.
    """

    offset: int
    sample: bytes
    place: int


@define(eq=False)
class Flow:
    """A direction: what was sent, what came, and how both ended.

    Args:
        name: for a person.
        start: where in the block it begins.
        fail: is told, in words, what went wrong, at once.
        sent: bytes that the sender's kernel took.
        received: right bytes that the receiver got.
        rests: the sender has said everything, and waits for the other direction's end.
        finished: how the sender ended it.
        seen: what the receiver saw of that.
        paused: the receiver does not want to read now.
        longest_gap: seconds, the longest time that bytes were due, a reader was there, and none came.
        missing: bytes that were found to be lost when it failed.
    """

    name: str
    start: int
    fail: Callable[[Kind, str], None]
    sent: int = 0
    received: int = 0
    rests: bool = False
    finished: End | None = None
    seen: End | None = None
    paused: bool = False
    longest_gap: float = 0.0
    missing: int = 0
    wrong: Wrong | None = None
    _due_since: float | None = field(default=None, init=False)

    @classmethod
    def of(cls, name: str, seed: str, fail: Callable[[Kind, str], None]) -> Flow:
        return cls(name, random.Random(seed).randrange(_SIZE), fail)

    def ahead(self, size: int) -> memoryview:
        """The next bytes to send, at most `LARGEST`."""
        place = (self.start + self.sent) % _SIZE
        return _VIEW[place : place + size]

    def took(self, count: int) -> None:
        """So many of them were sent."""
        self.sent += count
        self._due()

    def finish(self, end: End) -> None:
        """The sender ended it."""
        self.finished = self.finished or end
        self._due()

    def take(self, data: memoryview) -> None:
        """Look at what was received, at most `LARGEST` bytes."""
        if self.wrong:
            return
        place = (self.start + self.received) % _SIZE
        if len(data) > self.sent - self.received or not _BLOCK.startswith(data, place):
            self._mistake(data, place)
            return
        self.received += len(data)
        self._came()

    def ends(self, end: End) -> None:
        """The receiver saw its end; only a reset may swallow bytes."""
        self.seen = end
        if self.finished is None:
            self._lacks(Kind.LOST, f"{end}, and its sender hadn't ended it")
        elif self.finished is End.EOF and (self.received < self.sent or end is End.RESET):
            self._lacks(Kind.LOST, f"{end}, and its sender ended it with an eof")
        self._came()

    def stuck(self, seconds: float) -> None:
        """What is due doesn't come."""
        self._lacks(Kind.STUCK, f"end: {self.finished}, and nothing more for {seconds:g} s")

    def leave(self) -> None:
        """The receiver is gone: nothing is due any more."""
        self.seen = self.seen or End.RESET
        self._due_since = None

    def pause(self) -> None:
        """The receiver stops reading."""
        self._came()
        self.paused = True

    def resume(self) -> None:
        """It reads on: from here on what is due may be missed."""
        self.paused = False
        self._due_since = time.monotonic() if self._is_due() else None

    @property
    def all_is_said(self) -> bool:
        """The sender has no more to say, and all of it came."""
        return self.rests and self.received == self.sent

    def waits(self) -> float:
        """Seconds since when bytes, or the end, have been due to a receiver that reads."""
        return 0.0 if self._due_since is None or self.paused else time.monotonic() - self._due_since

    def begin_window(self) -> float:
        """The longest gap since this was last called, in seconds; of one that goes on the part until now."""
        longest, self.longest_gap = max(self.longest_gap, self.waits()), 0.0
        if self._due_since is not None:
            self._due_since = time.monotonic()
        return longest

    def _is_due(self) -> bool:
        return self.seen is None and (self.sent > self.received or self.finished is not None)

    def _due(self) -> None:
        if self._due_since is None and self._is_due():
            self._due_since = time.monotonic()

    def _came(self) -> None:
        if self._due_since is not None:
            now = time.monotonic()
            if not self.paused:
                self.longest_gap = max(self.longest_gap, now - self._due_since)
            self._due_since = now if self._is_due() else None

    def _lacks(self, kind: Kind, what: str) -> None:
        self.missing = self.sent - self.received
        self.fail(kind, f"{self.name}: {self.received} of {self.sent} bytes, {what}")

    def _mistake(self, data: memoryview, place: int) -> None:
        right = _common(data[: self.sent - self.received], place)
        self.received += right
        sample = bytes(data[right : right + _SAMPLE])
        self.wrong = Wrong(self.received, sample, _BLOCK.find(sample) if len(sample) >= _TELLING else -1)
        self.missing = _skipped(self, self.wrong.place)
        self.fail(Kind.WRONG, f"{self.name}: wrong bytes")


def explain(flow: Flow, others: Iterable[Flow]) -> str:
    """What the wrong bytes of a stream are, as far as can be told."""
    wrong = flow.wrong
    assert wrong is not None
    where = f"{flow.name}: at byte {wrong.offset}"
    place = wrong.place
    if place < 0:
        return f"{where}: {'more than was sent' if wrong.offset == flow.sent else 'bytes of no stream'}"
    if -wrong.offset <= (jump := _jump(flow, place)) < 0:
        return f"{where}: {-jump} bytes came twice"
    if lost := _skipped(flow, place):
        return f"{where}: {lost} bytes are lost"
    for other in others:
        if other is not flow and (offset := (place - other.start) % _SIZE) < other.sent:
            return f"{where}: bytes of {other.name} from its byte {offset} on"
    return f"{where}: bytes of no stream"


def _jump(flow: Flow, place: int) -> int:
    """How far the bytes at a place of the block are from those that the flow was due."""
    return (place - flow.start - flow.received + _SIZE // 2) % _SIZE - _SIZE // 2


def _skipped(flow: Flow, place: int) -> int:
    """How many bytes were lost, if the flow went on at this place."""
    jump = _jump(flow, place)
    return jump if place >= 0 and 0 < jump < _NEAR and flow.received + jump < flow.sent else 0


def _common(data: memoryview, place: int) -> int:
    """How many of the bytes are right, before the first wrong one."""
    low, high = 0, len(data)
    while low < high:
        middle = (low + high + 1) // 2
        if _BLOCK.startswith(data[:middle], place):
            low = middle
        else:
            high = middle - 1
    return low
