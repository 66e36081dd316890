"""`python -m splicer.supervisor`: what `splicer run` becomes, and what an upgrade turns it into."""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
from pathlib import Path

from setproctitle import setproctitle

from splicer.control.board import Board
from splicer.control.wire import read_text
from splicer.supervisor.countsdir import CountsDirectory
from splicer.supervisor.desk import Desk
from splicer.supervisor.launch import SIGNALS
from splicer.supervisor.listeners import Listeners
from splicer.supervisor.say import Say
from splicer.supervisor.state import SupervisorState, read
from splicer.supervisor.supervisor import Supervisor
from splicer.supervisor.vaults import OwnVault, RemoteVault
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
            path, remote = Path(arguments["path"]), arguments["vault"]
            vault = OwnVault(selector, say) if remote is None else RemoteVault(Path(remote), selector, say)
            if "state" not in arguments:
                counts = CountsDirectory.make()
                return Supervisor(Desk(path, say, vault, selector, Board(), Listeners(), counts)).run()
            state = _state(arguments["state"])
            if isinstance(vault, OwnVault) and state.holder is not None:
                restore(vault.holder, state.holder)
            listeners = Listeners()
            listeners.restore(state.listeners)
            counts = CountsDirectory(*state.counts) if state.counts is not None else CountsDirectory.make()
            desk = Desk(path, say, vault, selector, Board(state.board), listeners, counts)
            return Supervisor(desk).run(state, reread=arguments["reread"])
    finally:
        say.close()


def _state(fd: int) -> SupervisorState:
    raw = json.loads(read_text(fd))
    for kept in raw["fds"]:
        os.set_inheritable(kept, False)
    return read(raw)


if __name__ == "__main__":
    sys.exit(main())
