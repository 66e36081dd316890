"""`python -m splicer.supervisor`: the program that `splicer run`, and later an upgrade, executes."""

from __future__ import annotations

import os
import selectors
import signal
import sys
from functools import partial
from pathlib import Path

from setproctitle import setproctitle

from splicer.ipc.arguments import SupervisorArguments
from splicer.ipc.board import Board
from splicer.ipc.codec import from_json
from splicer.ipc.wire import read_text
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.control_place import listen_at_first, places
from splicer.supervisor.edge_state import EdgeState
from splicer.supervisor.launch import SIGNALS
from splicer.supervisor.listeners import EdgeListeners
from splicer.supervisor.locate import title_of
from splicer.supervisor.metrics_dir import MetricsDirectory
from splicer.supervisor.remote_vault import RemoteVault
from splicer.supervisor.sd_notify import SdNotify
from splicer.supervisor.socket_path import fault_of
from splicer.supervisor.state import SupervisorState, read
from splicer.supervisor.supervisor import Supervisor
from splicer.supervisor.vaults import OwnVault
from splicer.vault.handover import restore
from splicer.vault.limits import raise_descriptor_limit


def main() -> int:
    """Run the edge; return the exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    arguments = from_json(SupervisorArguments, sys.argv[1])
    if arguments.template is not None:
        os.set_inheritable(arguments.template.control, False)
    raise_descriptor_limit()
    log = PlainLog()
    notify = SdNotify(os.environ, log)
    try:
        with selectors.DefaultSelector() as selector:
            path, remote, last_good = Path(arguments.path), _path(arguments.vault), _path(arguments.last_good)
            if remote is not None and arguments.state is None and (fault := fault_of(remote)):
                log.die_usage([f"--vault: {fault}"])
                return 1
            vault = OwnVault(selector, log) if remote is None else RemoteVault(remote, selector, log)
            edge_with = partial(
                EdgeState,
                path,
                log,
                vault,
                selector,
                watch=arguments.watch,
                last_good=last_good,
                notify=notify,
                made=arguments.made,
            )
            if isinstance(vault, RemoteVault):
                vault.await_answer()
            if arguments.state is None:
                edge = edge_with(Board(), EdgeListeners(), _counts(log), tls_in_vault=bool(vault.has_tls))
                if not _listen(edge, _path(arguments.control)):
                    return 1
                return Supervisor(edge).run(template=arguments.template)
            state = _state(arguments.state)
            if isinstance(vault, OwnVault) and state.holder is not None:
                restore(vault.holder, state.holder)
            listeners = EdgeListeners()
            listeners.restore(state.listeners)
            counts = _counts(log) if state.counts is None else MetricsDirectory(state.counts.path, state.counts.fd)
            board = Board(state.board, state.routes, state.loads, state.endpoints, state.tls, state.connects)
            # An edge that has tls processes of its own keeps them: their calls are in its own TLS table.
            tls_in_vault = state.tls_in_vault and vault.has_tls is not False
            edge = edge_with(board, listeners, counts, tls_in_vault=tls_in_vault)
            if state.control is not None:
                edge.control.restore(state.control, reread=arguments.reread)
            _listen(edge, None)
            return Supervisor(edge).run(state, reread=arguments.reread, read=arguments.read)
    finally:
        if arguments.made:
            Path(arguments.path).unlink(missing_ok=True)
        notify.close()
        log.close()


def _path(argument: str | None) -> Path | None:
    return None if argument is None else Path(argument)


def _listen(edge: EdgeState, wanted: Path | None) -> bool:
    """Open the control socket and set the process title; False: it can't be opened at the wanted path."""
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
    state = read(read_text(fd))
    for kept in state.fds:
        os.set_inheritable(kept, False)
    return state


if __name__ == "__main__":
    sys.exit(main())
