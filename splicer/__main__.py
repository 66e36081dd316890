"""What `splicer` and ``python -m splicer`` begin with."""

from __future__ import annotations

import signal

from splicer.supervisor.launch import SIGNALS


# The first process of a container ignores every signal that it has no handler for (pid_namespaces(7)), but not one that
# is blocked: a SIGTERM that comes while all else is imported waits for the program that knows what to do about it.
def main() -> None:
    """Run the command line."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    from splicer.cli import main as run

    run()


if __name__ == "__main__":
    main()
