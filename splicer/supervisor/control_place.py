"""The path of the control socket: beside the vault's socket, else in a private directory; the root may be read-only."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from splicer.supervisor.control_socket import ControlSocket


def places(config: Path, vault: Path | None, private: str | None, environ: Mapping[str, str]) -> list[Path]:
    """The possible paths, best first.

    Args:
        config: the routing.toml; the name in $XDG_RUNTIME_DIR is made from its path, so that the next supervisor of the
            same file replaces a left-over socket.
        vault: the socket of a vault of its own container.
        private: a directory that only this supervisor uses.
        environ: the environment.
    """
    found = [] if vault is None else [vault.with_stem(f"{vault.stem}-control")]
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(runtime) / f"splicer-{zlib.crc32(os.fsencode(config.resolve())):08x}.sock")
    return found if private is None else [*found, Path(private) / "control.sock"]


def listen_at_first(control: ControlSocket, paths: Iterable[Path]) -> list[str]:
    """Listen at the first path where that is possible; return the faults of all paths if there is none."""
    faults = []
    for path in paths:
        try:
            control.listen(path)
        except OSError as error:
            faults.append(f"{path}: {error.strerror or error}{_remedy(error.errno)}")
        else:
            return []
    return faults or ["neither /dev/shm nor $TMPDIR nor /tmp can be written to: say --control"]


def _remedy(code: int | None) -> str:
    match code:
        case errno.EADDRINUSE:
            return ": another process serves it, or it is no socket"
        case errno.EACCES | errno.EROFS | errno.ENOENT:
            return f"; its directory must be there, and writable for user {os.geteuid()}"
    return ""
