"""The entry point of `splicer` and ``python -m splicer``."""

from __future__ import annotations

import signal

from splicer.supervisor.launch import SIGNALS


# The first process of a container ignores every signal without a handler (pid_namespaces(7)), but a blocked signal
# stays pending: a SIGTERM that comes while the rest is imported waits until the program has its handlers.
def main() -> None:
    """Run the command line."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    from splicer.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
