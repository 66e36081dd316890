"""Becoming the parent of orphans: a process whose parent ends becomes this one's child (prctl(2))."""

from __future__ import annotations

import ctypes
import os

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def become_subreaper() -> None:
    """Inherit the orphans among all descendants, from now on and after an exec, as the first process always does.

    Raises:
        OSError: it is not permitted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
