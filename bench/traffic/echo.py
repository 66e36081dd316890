"""Check an echo that arrives in pieces."""

from __future__ import annotations


class Mismatch(Exception):
    """The bytes that came back are not the bytes that were sent."""


class Closed(ConnectionError):
    """The other side ended a tunnel in the middle of a run."""

    def __init__(self) -> None:
        super().__init__("a tunnel was closed in the middle of the run")


class Pieces:
    """Echoes that have arrived in part, one for each tunnel; used only for an echo that did not arrive at once."""

    def __init__(self) -> None:
        self._parts: dict[int, bytes] = {}

    def whole(self, fd: int, data: bytes, awaited: bytes) -> bool:
        """Add a piece; True if the echo is now complete.

        Args:
            fd: the tunnel.
            data: what was read; b"": its end.
            awaited: the whole expected echo.

        Raises:
            Closed: the tunnel has ended.
            Mismatch: the piece does not match the echo.
        """
        if not data:
            raise Closed
        part = self._parts.pop(fd, b"") + data
        if not awaited.startswith(part):
            raise Mismatch("an echo is not what was sent")
        if len(part) < len(awaited):
            self._parts[fd] = part
        return len(part) == len(awaited)
