"""`python -m splicer.supervisor.vault_main`: the program that `splicer vault` executes."""

from __future__ import annotations

import errno
import os
import sys
from functools import partial
from pathlib import Path

from setproctitle import setproctitle

from splicer.ipc.arguments import VaultArguments
from splicer.ipc.codec import from_json
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.sd_notify import SdNotify
from splicer.supervisor.socket_path import fault_of
from splicer.supervisor.vault_tls import VaultTls
from splicer.vault.limits import raise_descriptor_limit
from splicer.vault.server import serve


def main() -> int:
    """Run the vault; return the exit code."""
    arguments = from_json(VaultArguments, sys.argv[1])
    path = Path(arguments.socket)
    setproctitle(f"splicer: vault {path}")
    raise_descriptor_limit()
    log = PlainLog()
    notify = SdNotify(os.environ, log)
    try:
        if fault := fault_of(path):
            log.die_usage([fault])
            return 1
        tls = partial(VaultTls, log) if arguments.tls else None
        serve(path, log, arguments.keep, notify.send, notify.beat, tls)
    except OSError as error:
        log.die_usage([f"{path}: {error.strerror or error}{_remedy(error.errno)}"])
        return 1
    finally:
        notify.close()
        log.close()
    return 0


def _remedy(code: int | None) -> str:
    match code:
        case errno.EADDRINUSE:
            return ": another vault serves it"
        case errno.EACCES | errno.EROFS:
            return f"; its directory must be writable, and the user is {os.geteuid()}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
