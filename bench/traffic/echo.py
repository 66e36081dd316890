"""Whether what comes back on a tunnel is what was sent, when it comes in pieces."""

from __future__ import annotations


class Mismatch(Exception):
    """Bytes that are not those that were sent."""


class Closed(ConnectionError):
    """The other side ended a tunnel in the middle of a run."""

    def __init__(self) -> None:
        super().__init__("a tunnel was closed in the middle of the run")


class Pieces:
    """Echoes, one awaited at a time, of which a part has come; the loads call it only when not all came at once."""

    def __init__(self) -> None:
        self._parts: dict[int, bytes] = {}

    def whole(self, fd: int, data: bytes, awaited: bytes) -> bool:
        """Take up a piece; True: the echo is complete now.

        Args:
            fd: the tunnel.
            data: what was read; b"": its end.
            awaited: the whole echo.

        Raises:
            Closed: there will be no more.
            Mismatch: this is no part of it.
        """
        if not data:
            raise Closed
        part = self._parts.pop(fd, b"") + data
        if not awaited.startswith(part):
            raise Mismatch("an echo is not what was sent")
        if len(part) < len(awaited):
            self._parts[fd] = part
        return len(part) == len(awaited)
