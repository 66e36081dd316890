"""`python -m splicer.admin`: the admin process. The supervisor starts it, and sends it commands when it is ready."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

import trio
from setproctitle import setproctitle

from splicer.admin.process import Admin
from splicer.admin.scrape import Scrape
from splicer.ipc.arguments import AdminArguments
from splicer.ipc.board import Board
from splicer.ipc.codec import from_json
from splicer.ipc.messages import AdminOrder
from splicer.ipc.supervisor_channel import SupervisorChannel, received
from splicer.observe.families import keep_in
from splicer.observe.line_writer import LineWriter
from splicer.observe.log import make_logger
from splicer.observe.log_style import output_of_events

# Only the supervisor handles these: this process ends at its command, or when the supervisor is gone.
_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Serve until the supervisor sends "stop", or is gone."""
    for signum in _IGNORED:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    setproctitle("splicer: admin")
    arguments = from_json(AdminArguments, sys.argv[1])
    place = arguments.place
    keep_in(None, place.row)  # overrides the environment: this process reads the metrics' files, and writes none
    output = output_of_events(arguments.format)
    lines = LineWriter(output.fd)
    log = make_logger(lines, output.style, colors=os.isatty(output.fd))
    board = Board(place.board, place.routes, place.loads, place.endpoints, place.tls, place.connects)
    counts = None if arguments.metrics is None else Path(arguments.metrics)
    admin = Admin(
        supervisor=SupervisorChannel(received(place.control), AdminOrder, place.version),
        board=board,
        row=place.row,
        path=Path(arguments.path),
        environ=os.environ,
        scrape=partial(Scrape, board, directory=counts),
        counts=counts,
        log=log,
    )
    try:
        obeyed = trio.run(admin.run)
    finally:
        lines.close()
    sys.exit(not obeyed)


if __name__ == "__main__":
    main()
