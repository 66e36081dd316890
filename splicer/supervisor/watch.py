"""`splicer run --watch`: what SIGHUP does is done when the file has changed.

It is looked at once a second, with stat(2), in some microseconds. inotify(7) would tell sooner, but the standard
library has none; it follows an inode, where a ConfigMap's file is two symlinks of which one is replaced; and it hears
nothing of what others do to an overlay's or a network's file system.
"""

from __future__ import annotations

from pathlib import Path

from splicer.configfile.signature import Signature, signature_of


class Watch:
    """Knows the file as it was when it was last read, and sees when it is another one.

    Args:
        path: the routing.toml; symlinks are followed.
        on: whether to look at all.
    """

    def __init__(self, path: Path, *, on: bool = False) -> None:
        self.on = on
        self._path = path
        self._read: Signature | None = None
        self._seen: Signature | None = None

    def signature(self) -> Signature | None:
        """What tells the file from another one, or from itself after a change; None: it is gone, or nobody watches.

        It is to be had before the file is read: what is changed while it is read is then seen at the next look.
        """
        if not self.on:
            return None
        try:
            return signature_of(self._path.stat())
        except OSError:
            return None

    def note(self, signature: Signature | None) -> None:
        """The file has been read, whatever came of it; or is about to be, and `signature` is from before."""
        self._read = self._seen = signature

    def note_read(self, read: Signature | None) -> None:
        """Which file it was that a child has read (`ipc.facts.Faults`): it may be another one than before."""
        if self.on and read != ():
            self.note(read)

    # An editor writes in pieces, and between two renames there may be no file at all: what is there for an instant
    # is not what is meant.
    def look(self) -> bool:
        """Whether the file is to be read: it is not what was read, and is what it was at the last look."""
        if not self.on:
            return False
        before, self._seen = self._seen, self.signature()
        return self._seen == before and self._seen != self._read
