"""`python -m splicer.supervisor`: what `splicer run` becomes, and what an upgrade turns it into."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from splicer.control.board import Board
from splicer.control.wire import read_text
from splicer.supervisor.launch import SIGNALS
from splicer.supervisor.listeners import Listeners
from splicer.supervisor.processes import Process
from splicer.supervisor.say import Say
from splicer.supervisor.state import SupervisorState, read
from splicer.supervisor.supervisor import Supervisor
from splicer.supervisor.vaults import OwnVault, RemoteVault, Vault
from splicer.vault.handover import restore
from splicer.vault.limits import raise_descriptor_limit


def main() -> int:
    """Run the edge; the exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    arguments = json.loads(sys.argv[1])
    setproctitle(f"splicer: supervisor {arguments['path']}")
    raise_descriptor_limit()
    say = Say()
    try:
        with selectors.DefaultSelector() as selector:
            if "state" in arguments:
                supervisor = _resumed(arguments, say, selector)
            else:
                vault = _vault(arguments, say, selector)
                supervisor = Supervisor(Path(arguments["path"]), say, vault, selector, Board(), Listeners())
                supervisor.start()
            return supervisor.run()
    finally:
        say.close()


def _vault(arguments: dict[str, Any], say: Say, selector: selectors.BaseSelector) -> Vault:
    path = arguments.get("vault")
    return OwnVault(selector, say) if path is None else RemoteVault(Path(path), selector, say)


def _resumed(arguments: dict[str, Any], say: Say, selector: selectors.BaseSelector) -> Supervisor:
    raw = json.loads(read_text(arguments["state"]))
    for fd in raw["fds"]:
        os.set_inheritable(fd, False)
    state = read(raw)
    vault = _vault(arguments, say, selector)
    if isinstance(vault, OwnVault) and state.holder is not None:
        restore(vault.holder, state.holder)
    listeners = Listeners()
    listeners.restore(state.listeners)
    supervisor = Supervisor(Path(arguments["path"]), say, vault, selector, Board(state.board), listeners)
    _resume(supervisor, state)
    return supervisor


def _resume(supervisor: Supervisor, state: SupervisorState) -> None:
    supervisor.facts = state.facts
    supervisor.generation = state.generation + 1
    supervisor.attendant.listeners.restore(state.admin)
    for one in state.crew:
        supervisor.crew.adopt(Process(one.pid, one.row, socket.socket(fileno=one.fd), one.state, one.slot))
    supervisor.resume(state.draining)


if __name__ == "__main__":
    sys.exit(main())
