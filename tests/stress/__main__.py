"""`python -m tests.stress`: run a storm of faults, and print its figures as a Markdown table."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from tests.stress.faults import FAULTS
from tests.stress.faultstorm import storm_of_faults


def main() -> int:
    """Run the storm; 1 if a call was lost that no fault explains."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("--calls", type=int, default=2000, help="so many at any time (2000)")
    parser.add_argument("--faults", type=int, default=1000, help="so many, one after another (1000)")
    parser.add_argument("--workers", type=int, default=4, help="of the edge (4)")
    parser.add_argument("--seed", type=int, default=1, help="decides what happens (1)")
    parser.add_argument("--inside", action="store_true", help="the vault is in the supervisor, and neither is killed")
    parser.add_argument(
        "--only", action="append", default=[], choices=FAULTS, help="this kind of fault; may be repeated"
    )
    parser.add_argument("--logs", type=Path, help="a directory for all log lines")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as directory:
        outcome = storm_of_faults(
            Path(directory),
            given.calls,
            given.faults,
            seed=given.seed,
            workers=given.workers,
            own_vault=not given.inside,
            only=tuple(given.only),
            tell=lambda line: sys.stderr.write(f"{datetime.now():%H:%M:%S} {line}\n"),
            logs=given.logs,
        )
    sys.stdout.write(f"{outcome.text()}\n")
    return 1 if outcome.lost or outcome.odd else 0


if __name__ == "__main__":
    sys.exit(main())
