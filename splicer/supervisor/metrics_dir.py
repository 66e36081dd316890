"""The directory of the metrics' files; it exists as long as the edge, longer than single processes.

It is in shared memory if possible: the files are mapped, and a write to one must never wait for a disk.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_PREFIX = "splicer-metrics-"
_SHARED_MEMORY, _TEMPORARY = "/dev/shm", "/tmp"  # noqa: S108 - a directory made there is ours alone


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
            places: directories to try; None: shared memory, $TMPDIR, /tmp.
        """
        for place in _places() if places is None else places:
            with suppress(OSError):
                _tidy(Path(place))
                path = str(Path(place, f"{_PREFIX}{os.urandom(8).hex()}"))
                os.mkdir(path, 0o700)  # noqa: PTH102 - its mode, whatever the umask adds
                fd = _locked(path)
                if fd is not None:
                    return cls(path, fd)
        return None

    def remove(self) -> None:
        """Remove the directory when no process counts any more."""
        _remove(self.path, self.fd)
        os.close(self.fd)


def _places() -> list[str]:
    return [_SHARED_MEMORY, os.environ.get("TMPDIR") or _TEMPORARY, _TEMPORARY]


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
                _remove(str(left), fd)
                os.close(fd)


# By the descriptor: whatever has the name by now, only what was in the locked directory goes.
def _remove(path: str, fd: int) -> None:
    with suppress(OSError):
        for name in os.listdir(fd):
            os.unlink(name, dir_fd=fd)
        os.rmdir(path)  # noqa: PTH106 - as above
