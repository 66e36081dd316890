"""The entry point of `splicer` and ``python -m splicer``."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

from splicer.supervisor.launch import SIGNALS, start_template


# The first process of a container ignores every signal without a handler (pid_namespaces(7)), but a blocked signal
# stays pending: a SIGTERM that comes while the rest is imported waits until the program has its handlers.
def main() -> None:
    """Run the command line."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    template = None
    if sys.argv[1:2] == ["run"] and "--help" not in sys.argv:
        with suppress(OSError):  # the supervisor tries again, and says why not
            template = start_template()  # it loads while the command line and the supervisor do
    from splicer.cli.app import main as run

    try:
        run(template)
    finally:  # the command line has a fault: `run` has not become the supervisor
        if template is not None:
            os.kill(template.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
