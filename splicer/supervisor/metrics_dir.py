"""The directory of the metrics' files; it exists as long as the edge, longer than single processes.

It is in shared memory if possible: the files are mapped, and a write to one must never wait for a disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_PREFIX = "splicer-metrics-"
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - mkdtemp(3) makes it ours alone


class MetricsDirectory:
    """One directory. A lock shows that it is in use; an unlocked directory was left by an edge that was killed.

    Args:
        path: the directory's path.
        fd: the directory's descriptor, which has the lock (flock(2)).
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def make(cls, places: Sequence[str] | None = None) -> MetricsDirectory | None:
        """Make a new directory in the first place where that is possible; None: it is possible nowhere.

        Args:
            places: directories to try; None: shared memory, then $TMPDIR or the like.
        """
        for place in _places() if places is None else places:
            with suppress(OSError):
                _tidy(Path(place))
                path = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
                fd = _locked(path)
                if fd is not None:
                    return cls(path, fd)
        return None

    def remove(self) -> None:
        """Remove the directory when no process counts any more."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.fd)


# A container with a read-only root may have no directory for temporary files, and then tempfile raises an exception.
def _places() -> list[str]:
    try:
        return [_SHARED_MEMORY, tempfile.gettempdir()]
    except FileNotFoundError:
        return [_SHARED_MEMORY]


def _locked(path: str) -> int | None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    if not os.fstat(fd).st_nlink:  # another process has removed it meanwhile
        os.close(fd)
        return None
    return fd


# Only directories of our own user: in /tmp anybody may create one of that name.
def _tidy(place: Path) -> None:
    for left in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if left.lstat().st_uid == os.geteuid() and (fd := _locked(str(left))) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(fd)
