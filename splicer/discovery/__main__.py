"""`python -m splicer.discovery`: the discovery process. The supervisor starts it, and sends it commands."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import trio
from setproctitle import setproctitle

from splicer.discovery.process import Discovery
from splicer.ipc.arguments import DiscoveryArguments
from splicer.ipc.board import Board
from splicer.ipc.codec import from_json
from splicer.ipc.messages import DiscoveryOrder
from splicer.ipc.supervisor_channel import SupervisorChannel, received
from splicer.observe.discovery_metrics import DiscoveryMetrics
from splicer.observe.families import keep_in
from splicer.observe.line_writer import LineWriter
from splicer.observe.log import make_logger
from splicer.observe.log_style import output_of_events

# Only the supervisor handles these: this process ends at its command, or when the supervisor is gone.
_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Discover until the supervisor sends "stop", or is gone."""
    for signum in _IGNORED:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    setproctitle("splicer: discovery")
    arguments = from_json(DiscoveryArguments, sys.argv[1])
    place = arguments.place
    output = output_of_events(arguments.format)
    lines = LineWriter(output.fd)
    discovery = Discovery(
        supervisor=SupervisorChannel(received(place.control), DiscoveryOrder, place.version),
        board=Board(place.board, place.routes, place.loads, place.endpoints, place.tls, place.connects),
        row=place.row,
        path=Path(arguments.path),
        environ=os.environ,
        log=make_logger(lines, output.style, colors=os.isatty(output.fd)),
        metrics=_metrics(arguments),
    )
    try:
        obeyed = trio.run(discovery.run)
    finally:
        lines.close()
    sys.exit(not obeyed)


# Without room for the metrics' files it counts in memory: no endpoint may be missing because of a metric.
def _metrics(arguments: DiscoveryArguments) -> DiscoveryMetrics:
    directory = arguments.metrics
    try:
        keep_in(None if directory is None else Path(directory), arguments.place.row)
    except OSError as error:
        print(f"splicer: the metrics of discovery are not kept: {error}", file=sys.stderr)  # noqa: T201 - no log yet
        keep_in(None, arguments.place.row)
    return DiscoveryMetrics()


if __name__ == "__main__":
    main()
