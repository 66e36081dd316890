"""`python -m splicer.template`: imports once what other processes need, and forks them when the supervisor asks.

The forked ones share the memory of all that code, and exist within milliseconds. What runs here is one loop without
threads and without Trio: a fork copies the thread that calls it, and no other.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress

from setproctitle import setproctitle

from splicer.ipc import wire
from splicer.ipc.arguments import TemplateArguments
from splicer.ipc.codec import from_json
from splicer.ipc.forking import Loaded
from splicer.relay.choice import UnfitChoice
from splicer.template.child import become
from splicer.template.loading import load
from splicer.template.parsing import parse
from splicer.template.randomness import sources
from splicer.template.serve import serve
from splicer.template.shared_memory import settle
from splicer.template.warm_up import warm_up
from splicer.vault.limits import raise_descriptor_limit


def main() -> None:
    """Fork processes until the supervisor is gone; in each of them, run its program."""
    setproctitle("splicer: template")
    raise_descriptor_limit()  # a process gets its descriptors under the supervisor's numbers
    arguments = from_json(TemplateArguments, sys.argv[1])
    os.set_inheritable(arguments.control, False)
    sock = socket.socket(fileno=arguments.control)
    sock.setblocking(True)
    try:
        programs = load()
    except UnfitChoice:  # the command line, which looks for the same at the same time, says it in one line
        sys.exit(2)
    warm_up()
    seeded = sources()
    settle()
    with suppress(OSError):  # a supervisor that could not begin is gone by now; its end is read next
        wire.send(sock, Loaded(), version=arguments.version)
    birth = serve(sock, arguments.version, programs, parse)
    if birth is not None:
        become(birth, seeded)
        programs[birth.order.program]()


if __name__ == "__main__":
    main()
