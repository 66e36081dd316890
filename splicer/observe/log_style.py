"""Where log lines go, and whether they are for a machine or for a person."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

COMBINED = "combined"


class Output(NamedTuple):
    """Where lines go.

    Args:
        fd: the descriptor.
        style: "json" or "console".
    """

    fd: int
    style: str


def style_of(log_format: str, fd: int) -> str:
    """The style for a value of ``log.format``: "auto" is "console" on a terminal, and "json" elsewhere.

    Args:
        log_format: the value; not "combined".
        fd: the descriptor that the lines are written to.
    """
    if log_format != "auto":
        return log_format
    return "console" if os.isatty(fd) else "json"


# With "combined", what reads stdout wants nothing but that format; so nginx too has its errors on stderr.
def output_of_events(log_format: str) -> Output:
    """Where all lines go but those of exchanges and calls in the combined format.

    Args:
        log_format: a value of ``log.format``.
    """
    if log_format == COMBINED:
        fd = sys.stderr.fileno()
        return Output(fd, style_of("auto", fd))
    fd = sys.stdout.fileno()
    return Output(fd, style_of(log_format, fd))
