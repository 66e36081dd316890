"""Where the control socket is: beside the vault's, else where only this user's processes look, on any root."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from splicer.supervisor.control_socket import ControlSocket


def places(config: Path, vault: Path | None, private: str | None, environ: Mapping[str, str]) -> list[Path]:
    """Where it may be, the best first.

    Args:
        config: the routing.toml: its name makes that in $XDG_RUNTIME_DIR, so that a later life finds and replaces it.
        vault: the socket of a vault of its own container.
        private: a directory of this supervisor's alone.
        environ: the environment.
    """
    found = [] if vault is None else [vault.with_stem(f"{vault.stem}-control")]
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(runtime) / f"splicer-{zlib.crc32(os.fsencode(config.resolve())):08x}.sock")
    return found if private is None else [*found, Path(private) / "control.sock"]


def listen_at_first(control: ControlSocket, paths: Iterable[Path]) -> list[str]:
    """Listen at the first of these that takes it; the faults of all, if none does."""
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
