"""Checking the path of a vault's socket, so that faults that don't go away by waiting are reported at once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MAX_BYTES = 107  # bytes: sun_path has 108 with the NUL (unix(7))


def fault_of(path: Path) -> str | None:
    """The reason why there can be no socket at this path, with a remedy; None: it exists, or may be created later.

    Args:
        path: the path of the socket.
    """
    if (length := len(os.fsencode(path))) > _MAX_BYTES:
        return f"{path}: too long for a socket's path: {length} bytes, {_MAX_BYTES} at most; name a shorter one"
    try:
        if stat.S_ISSOCK(path.stat().st_mode):
            return None
    except FileNotFoundError:
        if path.parent.is_dir():
            return None
        share = "make it, or mount the volume that `splicer vault` and `splicer run` share"
        return f"{path}: No such file or directory: {path.parent}; {share}"
    except OSError as error:
        return f"{path}: {error.strerror}"
    return f"{path}: this is no socket; name another path, in a directory that `splicer vault` may write to"
