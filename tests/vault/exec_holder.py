"""A holder that turns into another program image as soon as it holds a tunnel; it ends with its last channel.

Arguments: the descriptors of its channels; then, in the second life, the state.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
from typing import Any

from splicer.ipc.codec import from_json, to_json
from splicer.vault.handover import HolderState, dump, restore
from splicer.vault.holder import Holder


def _log(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)  # noqa: T201 - the test reads it


def main() -> None:
    """Live once or twice."""
    numbers, state = json.loads(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    with selectors.DefaultSelector() as selector:
        holder = Holder(selector, _log)
        if state is None:
            for fd in numbers:
                holder.attach(socket.socket(fileno=fd))
        else:
            restore(holder, from_json(HolderState, state))
        while holder.channels:
            for key, events in selector.select():
                key.data(events)
            if state is None and holder.tunnels:
                after, fds = dump(holder)
                for fd in fds:
                    os.set_inheritable(fd, True)
                os.execv(sys.executable, [sys.executable, "-m", "tests.vault.exec_holder", sys.argv[1], to_json(after)])
    _log("over", tunnels=len(holder.tunnels))


if __name__ == "__main__":
    main()
