"""`python -m splicer.admin`: the admin process. The supervisor starts it, and tells it what to do when it is ready."""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import trio
from setproctitle import setproctitle

from splicer.admin.process import Admin
from splicer.admin.scrape import Scrape
from splicer.ipc import wire
from splicer.ipc.board import Board
from splicer.ipc.supervisor_channel import SupervisorChannel, received
from splicer.observe.line_writer import LineWriter
from splicer.observe.log import make_logger
from splicer.observe.metrics import keep_in

# The supervisor's affairs, all of them: this process ends when it is told to, or when the supervisor is gone.
_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Serve until the supervisor says that it is enough, or it is gone."""
    for signum in _IGNORED:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    setproctitle("splicer: admin")
    arguments = json.loads(sys.argv[1])
    keep_in(None, arguments["row"])  # whatever the environment says: what is counted is read here, not written
    stdout = sys.stdout.fileno()
    lines = LineWriter(stdout)
    log = make_logger(lines, arguments["format"], colors=os.isatty(stdout))
    board = Board(arguments["board"])
    metrics = arguments.get("metrics")
    admin = Admin(
        supervisor=SupervisorChannel(received(arguments["control"]), arguments.get("version", wire.VERSION)),
        board=board,
        row=arguments["row"],
        path=Path(arguments["path"]),
        environ=os.environ,
        scrape=partial(Scrape, board, directory=None if metrics is None else Path(metrics)),
        log=log,
    )
    try:
        obeyed = trio.run(admin.run)
    finally:
        lines.close()
    sys.exit(not obeyed)


if __name__ == "__main__":
    main()
