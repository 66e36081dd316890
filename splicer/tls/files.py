"""Reading certificates and keys, so that what belongs together is of one generation.

A kubelet replaces the files of a mounted Secret by one rename of the symbolic link `..data`. So in a folder that has
one, both files are read in the folder to which it leads at that moment.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from splicer.tls_facts import CertificateFiles

_MAX_BYTES = 4 << 20  # of a file
_DATA, CHAIN, KEY = "..data", "tls.crt", "tls.key"

Signature = tuple[tuple[int, ...], ...]


class FileFault(Exception):
    """A file can't be used; the message has its path, the reason and a remedy."""


@dataclass(frozen=True, slots=True)
class OpenPair:
    """A chain and its key, as open files.

    Args:
        chain: descriptor.
        key: descriptor.
        name: their path, for messages.
        pem: the content of the chain.
    """

    chain: int
    key: int
    name: str
    pem: bytes

    @property
    def paths(self) -> tuple[str, str]:
        """Paths of the open files: `ssl` takes nothing else."""
        return f"/proc/self/fd/{self.chain}", f"/proc/self/fd/{self.key}"


@contextmanager
def opened(files: CertificateFiles) -> Iterator[OpenPair]:
    """Open a certificate's two files.

    Raises:
        FileFault: one of them can't be read, or is empty.
    """
    with ExitStack() as stack:
        folder, chain, key = None, files.chain, files.key
        if files.folder:
            folder, chain, key = _open_folder(files.folder), CHAIN, KEY
            stack.callback(os.close, folder)
        names = [f"{files.folder}/{name}" if files.folder else name for name in (chain, key)]
        fds = []
        for path, name in zip((chain, key), names, strict=True):
            fds.append(_open(path, folder, name))
            stack.callback(os.close, fds[-1])
        _content(fds[1], names[1])
        yield OpenPair(fds[0], fds[1], files.name, _content(fds[0], names[0]))


def text_of(path: str) -> bytes:
    """The content of a file.

    Raises:
        FileFault: it can't be read, or is empty.
    """
    fd = _open(path, None, path)
    try:
        return _content(fd, path)
    finally:
        os.close(fd)


def signature(certificates: tuple[CertificateFiles, ...], others: tuple[str, ...]) -> Signature:
    """What changes when one of the files does; a file that isn't there counts too."""
    paths = [path for files in certificates for path in _paths(files)]
    return tuple(_status(path) for path in (*paths, *others))


def _paths(files: CertificateFiles) -> tuple[str, str]:
    if files.folder:
        return f"{files.folder}/{CHAIN}", f"{files.folder}/{KEY}"
    return files.chain, files.key


def _status(path: str) -> tuple[int, ...]:
    try:
        status = Path(path).stat()
    except OSError as error:
        return (error.errno or 0,)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _open_folder(path: str) -> int:
    try:
        return os.open(f"{path}/{_DATA}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        pass
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        remedy = "; a certificate that is no folder is written { chain = …, key = … }" if Path(path).is_file() else ""
        raise FileFault(f"{path}: {error.strerror}{remedy}") from error


def _open(path: str, folder: int | None, name: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise FileFault(f"{name}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileFault(f"{name}: not a regular file")
    return fd


def _content(fd: int, name: str) -> bytes:
    data = os.pread(fd, _MAX_BYTES, 0)
    if not data.strip():
        raise FileFault(f"{name}: is empty")
    return data


def is_sub_path(path: str) -> bool:
    """Whether a file is a mount of its own, as with a volume's `subPath`: a kubelet never renews such a file."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return any(line.split(" ", 5)[4] == path for line in mounts.splitlines() if line.count(" ") > 5)
