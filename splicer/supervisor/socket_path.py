"""Whether a vault's socket can be where a command says: what no waiting mends is told at once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MAX_BYTES = 107  # bytes: sun_path has 108 with the NUL (unix(7))


def fault_of(path: Path) -> str | None:
    """Why no vault's socket can be here, and what to do; None: it is here, or may come.

    Args:
        path: of the socket.
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
