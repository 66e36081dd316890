"""What tells a file from another one, or from itself after a change."""

from __future__ import annotations

import os

Signature = tuple[int, ...]


# Not the time of the inode's change: a kubelet sets owner and mode of a volume's files again and again.
def signature_of(status: os.stat_result) -> Signature:
    """Made of what stat(2) says."""
    return status.st_dev, status.st_ino, status.st_mode, status.st_mtime_ns, status.st_size
