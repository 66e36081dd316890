"""`python -m splicer.supervisor.vault`: what `splicer vault` becomes."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

from setproctitle import setproctitle

from splicer.supervisor.notify import Notify
from splicer.supervisor.say import Say
from splicer.supervisor.socketplace import fault_of
from splicer.vault.limits import raise_descriptor_limit
from splicer.vault.server import serve


def main() -> int:
    """Hold tunnels; the exit code."""
    arguments = json.loads(sys.argv[1])
    path = Path(arguments["socket"])
    setproctitle(f"splicer: vault {path}")
    raise_descriptor_limit()
    say = Say()
    notify = Notify(os.environ, say)
    try:
        if fault := fault_of(path):
            say.fail([fault])
            return 1
        serve(path, say, arguments["keep"], notify.send, notify.beat)
    except OSError as error:
        say.fail([f"{path}: {error.strerror or error}{_remedy(error.errno)}"])
        return 1
    finally:
        notify.close()
        say.close()
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
