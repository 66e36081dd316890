"""`splicer run --watch`: a change of the file starts a reload, like SIGHUP.

The file is checked once a second with stat(2), which takes some microseconds. inotify(7) would be faster, but the
standard library has none; it follows an inode, whereas a ConfigMap's file is two symlinks of which one is replaced; and
it doesn't report changes that others make in an overlay or network file system.
"""

from __future__ import annotations

from pathlib import Path

from splicer.configfile.signature import Signature, signature_of


class Watch:
    """Compares the file with the state in which it was last read.

    Args:
        path: the routing.toml; symlinks are followed.
        on: whether to watch at all.
    """

    def __init__(self, path: Path, *, on: bool = False) -> None:
        self.on = on
        self._path = path
        self._read: Signature | None = None
        self._seen: Signature | None = None

    def signature(self) -> Signature | None:
        """The file's signature; None: it is gone, or watching is off.

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

    # An editor may write in several steps, and between two renames there may be no file. So a change counts only if the
    # file is the same in two checks.
    def look(self) -> bool:
        """Whether the file must be read: it differs from the one read last, and is the same as at the last check."""
        if not self.on:
            return False
        before, self._seen = self._seen, self.signature()
        return self._seen == before and self._seen != self._read
