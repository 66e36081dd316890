"""One watch: which lines it says, and when."""

from __future__ import annotations

import json

import trio
from attrs import define, field

from tests.kit.kubernetes import statuses
from tests.kit.kubernetes.faults import LONG, Fault, refusal
from tests.kit.kubernetes.resources import Thing
from tests.kit.kubernetes.storage import Selects, Storage

_BEFORE_END = 2.0  # seconds before its end, a watch says a last bookmark
_TICK = 1.0  # the server looks so often, in seconds, which bookmarks are due
_KIND = {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1"}


@define(eq=False)
class Watch:
    """A watch from a version on.

    Args:
        position: the version up to which all has been said.
        initial: say all that there is first, as ADDED.
        bookmarks: seconds between two bookmarks; None: none are wanted.
        seconds: until its end.
    """

    storage: Storage
    namespace: str
    selects: Selects
    position: int
    initial: bool
    bookmarks: float | None
    seconds: float
    cut: bool = False  # it is over without an end in order
    _over: bool = False
    _extra: list[bytes] = field(factory=list)
    _left: int | None = None  # bytes until it is cut
    _bookmark_now: bool = False
    _begun: bool = False
    _ends: float = 0.0
    _due: float = 0.0  # the next bookmark

    def end(self) -> None:
        """End it in order."""
        self._over = True

    def bookmark(self) -> None:
        """Say where it is."""
        self._bookmark_now = True

    def spoil(self, fault: Fault) -> None:
        """Do something wrong next, after what has happened already."""
        match fault.kind:
            case "short":
                self._over = True
            case "cut":
                self._left = fault.size
            case "half_line":
                self._extra.append(b'{"type":"MODIFIED","object":{"kind":"Endpoi')
                self._over = True
            case "long_line":
                self._extra.append(b'{"type":"MODIFIED","object":"' + b"x" * (fault.size or LONG) + b'"}\n')
            case "garbage":
                self._extra.append(b"<html>no JSON</html>\n")
            case "error":
                thing = refusal(fault, self.namespace, "watch", self.position, self.storage.version)
                self._extra.append(line({"type": "ERROR", "object": thing}))
                self._over = True
            case other:
                raise ValueError(other)

    async def next(self) -> bytes | None:
        """The next lines of JSON, several at once if several are due; None at the end."""
        if self._left == 0:
            self.cut = True
            return None
        data = await self._next()
        if data is not None and self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return data

    async def _next(self) -> bytes | None:
        if not self._begun:
            self._begun = True
            self._ends = trio.current_time() + self.seconds
            self._due = self._next_due()
            if not self.initial and self.position < self.storage.oldest:
                self._over = True
                thing = statuses.expired_watch(self.position, self.storage.oldest)
                self.position = self.storage.version
                return line({"type": "ERROR", "object": thing})
            if self.initial and (data := self._begin()):
                return data
        while True:
            changed = self.storage.changed
            data = self._news()
            if self._bookmark_now or trio.current_time() >= self._due:
                self._bookmark_now = False
                data += self._bookmark()
                self._due = self._next_due()
            if data:
                return data
            if self._over or trio.current_time() >= self._ends:
                return None
            with trio.move_on_at(min(self._due, self._ends)):
                await changed.wait()

    def _begin(self) -> bytes:
        self.position = self.storage.version
        things = [each for each in self.storage.objects(self.namespace) if self.selects(each["metadata"]["labels"])]
        data = b"".join(_event("ADDED", each) for each in reversed(things))
        if self.bookmarks is not None:
            # A real one marks the end of what was there for every watch that wants bookmarks and begins with it.
            data += self._bookmark({"annotations": {"k8s.io/initial-events-end": "true"}})
        return data

    def _news(self) -> bytes:
        data = b""
        for version, kind, thing in self.storage.events(self.position, self.namespace, self.selects):
            data += _event(kind, thing)
            self.position = version
        data += b"".join(self._extra)
        self._extra.clear()
        return data

    def _bookmark(self, more: Thing | None = None) -> bytes:
        # Of a watch from the future the server says nothing at all: all that happens is too old for it.
        if self.position > self.storage.version:
            return b""
        self.position = self.storage.version
        thing = _KIND | {"metadata": {"resourceVersion": str(self.position)} | (more or {})}
        return line({"type": "BOOKMARK", "object": thing | {"addressType": "", "endpoints": None, "ports": None}})

    def _next_due(self) -> float:
        if self.bookmarks is None:
            return float("inf")
        now = trio.current_time()
        before_end = self._ends - _BEFORE_END
        return min(now + self.bookmarks, before_end if before_end > now + _TICK else float("inf"))


def line(thing: Thing) -> bytes:
    """An object as the API server writes it."""
    return json.dumps(thing, separators=(",", ":")).encode() + b"\n"


def _event(kind: str, thing: Thing) -> bytes:
    return line({"type": kind, "object": _KIND | thing})
