"""The style of log lines: for a machine, or for a person."""

from __future__ import annotations

import os


def style_of(log_format: str, fd: int) -> str:
    """The style for a value of ``log.format``: "auto" is "console" on a terminal, and "json" elsewhere.

    Args:
        log_format: the value.
        fd: the descriptor that the lines are written to.
    """
    if log_format != "auto":
        return log_format
    return "console" if os.isatty(fd) else "json"
