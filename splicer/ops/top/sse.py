"""Server-sent events out of bytes that come in any pieces (HTML Living Standard §9.2.6)."""

from __future__ import annotations

from attrs import frozen

_MOST_BYTES = 16 << 20  # of one event; a thousand calls are 600 kB


@frozen
class Event:
    """One event.

    Args:
        kind: its type; "message" if it has none.
        data: its lines of data.
    """

    kind: str
    data: str


class EventReader:
    """Reads a stream of events from its beginning."""

    def __init__(self) -> None:
        self._line: list[bytes] = []  # the pieces of a line that has not ended
        self._size = 0  # bytes of the event so far
        self._after_cr = False  # an LF now belongs to the CR before it
        self._first = True
        self._kind = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[Event]:
        """The events that end in the next bytes.

        Raises:
            ValueError: an event is too long.
        """
        found: list[Event] = []
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        *ended, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for last in ended:
            line = b"".join((*self._line, last))
            self._line.clear()
            self._count(last)
            if not line:
                found += self._dispatched()
            else:
                self._take(line.decode("utf-8", "replace"))
        if rest:
            self._line.append(rest)
            self._count(rest)
        return found

    def _count(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > _MOST_BYTES:
            raise ValueError(f"an event of more than {_MOST_BYTES} bytes")

    # Comments, ids and the time until the next try say nothing that is needed here.
    def _take(self, line: str) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix("\ufeff")
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)

    def _dispatched(self) -> list[Event]:
        kind, data = self._kind or "message", self._data
        self._kind, self._data, self._size, self._first = "", [], 0, False
        return [Event(kind, "\n".join(data))] if data else []
