"""`python -m splicer.tls`: a tls process. It is executed, never forked: nobody shares its memory."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from typing import Any

from setproctitle import setproctitle

from splicer.ipc.arguments import TlsArguments
from splicer.ipc.board import Board
from splicer.ipc.codec import from_json
from splicer.ipc.tls_table import TlsTable, lock_row
from splicer.tls.process import TlsProcess
from splicer.vault.limits import raise_descriptor_limit

# Only the supervisor handles these: this process ends at its command, or, without it, with the last call.
_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Serve until the supervisor sends "stop"."""
    for signum in _IGNORED:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    setproctitle("splicer: tls")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would have the private keys
    raise_descriptor_limit()
    sys.unraisablehook = _ignore
    arguments = from_json(TlsArguments, sys.argv[1])
    place = arguments.place
    os.set_inheritable(place.control, False)
    control = socket.socket(fileno=place.control)
    control.setblocking(False)
    board = Board(place.board, place.routes, place.loads, place.endpoints, place.tls)
    lock_row(board.tls, place.row)
    words = TlsTable(board.tls).row(place.row)
    TlsProcess(control, place.version, place.row, board.row(place.row), words).run()


# A client's server name that is no ASCII would make `ssl` print a traceback.
def _ignore(_: Any) -> None:
    """Take no notice of an error that nobody can handle."""


if __name__ == "__main__":
    main()
