"""A file's signature, by which a change or a replacement of the file is noticed."""

from __future__ import annotations

import os

Signature = tuple[int, ...]


# Without st_ctime: a kubelet sets owner and mode of a volume's files again and again, and each time changes it.
def signature_of(status: os.stat_result) -> Signature:
    """The signature of a file, from the result of stat(2)."""
    return status.st_dev, status.st_ino, status.st_mode, status.st_mtime_ns, status.st_size
