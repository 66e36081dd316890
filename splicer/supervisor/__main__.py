"""`python -m splicer.supervisor`: what `splicer run` becomes, and what an upgrade turns it into."""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
from functools import partial
from pathlib import Path

from setproctitle import setproctitle

from splicer.ipc.board import Board
from splicer.ipc.wire import read_text
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.control_place import listen_at_first, places
from splicer.supervisor.edge_state import EdgeState
from splicer.supervisor.launch import SIGNALS
from splicer.supervisor.listeners import Listeners
from splicer.supervisor.locate import title_of
from splicer.supervisor.metrics_dir import MetricsDirectory
from splicer.supervisor.sd_notify import SdNotify
from splicer.supervisor.socket_path import fault_of
from splicer.supervisor.state import SupervisorState, read
from splicer.supervisor.supervisor import Supervisor
from splicer.supervisor.vaults import OwnVault, RemoteVault
from splicer.vault.handover import restore
from splicer.vault.limits import raise_descriptor_limit


def main() -> int:
    """Run the edge; the exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    arguments = json.loads(sys.argv[1])
    raise_descriptor_limit()
    log = PlainLog()
    notify = SdNotify(os.environ, log)
    try:
        with selectors.DefaultSelector() as selector:
            path, remote, last_good = (_path(arguments.get(name)) for name in ("path", "vault", "last_good"))
            assert path is not None  # noqa: S101 - the command line has a default
            watch = arguments.get("watch", False)
            if remote is not None and "state" not in arguments and (fault := fault_of(remote)):
                log.die_usage([f"--vault: {fault}"])
                return 1
            vault = OwnVault(selector, log) if remote is None else RemoteVault(remote, selector, log)
            edge_with = partial(EdgeState, path, log, vault, selector, watch=watch, last_good=last_good, notify=notify)
            if "state" not in arguments:
                edge = edge_with(Board(), Listeners(), _counts(log))
                return Supervisor(edge).run() if _listen(edge, _path(arguments.get("control"))) else 1
            state = _state(arguments["state"])
            if isinstance(vault, OwnVault) and state.holder is not None:
                restore(vault.holder, state.holder)
            listeners = Listeners()
            listeners.restore(state.listeners)
            counts = MetricsDirectory(*state.counts) if state.counts is not None else _counts(log)
            edge = edge_with(Board(state.board), listeners, counts)
            if state.control is not None:
                edge.control.restore(state.control, reread=arguments["reread"])
            _listen(edge, None)
            read = arguments.get("read")
            return Supervisor(edge).run(state, reread=arguments["reread"], read=read and tuple(read))
    finally:
        notify.close()
        log.close()


def _path(argument: str | None) -> Path | None:
    return None if argument is None else Path(argument)


def _listen(edge: EdgeState, wanted: Path | None) -> bool:
    """Have a control socket, and be found by it; False: there can be none where one is wanted."""
    control = edge.control
    if control.path is None or not control.path.exists():
        vault = _path(edge.vault.path)
        private = None if edge.counts is None else edge.counts.path
        faults = listen_at_first(control, [wanted] if wanted else places(edge.path, vault, private, os.environ))
        if faults and wanted:
            edge.log.die_usage([f"--control: {fault}" for fault in faults])
            edge.finish(1)
            return False
        if faults:
            edge.log("control_unavailable", level="error", reason="; ".join(faults))
    setproctitle(title_of(edge.path, control.path))
    return True


def _counts(log: PlainLog) -> MetricsDirectory | None:
    counts = MetricsDirectory.make()
    if counts is None:
        reason = "neither /dev/shm nor $TMPDIR nor /tmp can be written to: mount one"
        log("metrics_not_kept", level="error", reason=reason)
    return counts


def _state(fd: int) -> SupervisorState:
    raw = json.loads(read_text(fd))
    for kept in raw["fds"]:
        os.set_inheritable(kept, False)
    return read(raw)


if __name__ == "__main__":
    sys.exit(main())
