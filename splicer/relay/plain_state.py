"""The state that a mover changes, without the C extension (`_mover.c` has the same)."""

from __future__ import annotations

from typing import Any


class PipeState:
    """See `pipes.Pipe`."""

    __slots__ = ("place", "read_fd", "size", "write_fd")


class TunnelState:
    """See `tunnel.Tunnel`."""

    __slots__ = ("last",)


class LegState:
    """See `tunnel.Leg`."""

    __slots__ = (
        "discard",
        "eof",
        "fd",
        "mask",
        "over",
        "parked",
        "peer",
        "pipe",
        "plain",
        "starved",
        "total",
        "tunnel",
        "word",
    )


class Engine:
    """There is none.

    Raises:
        RuntimeError: always.
    """

    def __init__(self, *_: Any) -> None:
        raise RuntimeError("the C extension is not in use")
