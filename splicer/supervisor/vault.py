"""`python -m splicer.supervisor.vault`: what `splicer vault` becomes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from setproctitle import setproctitle

from splicer.supervisor.say import Say
from splicer.vault.limits import raise_descriptor_limit
from splicer.vault.server import serve


def main() -> int:
    """Hold tunnels; the exit code."""
    arguments = json.loads(sys.argv[1])
    path = Path(arguments["socket"])
    setproctitle(f"splicer: vault {path}")
    raise_descriptor_limit()
    say = Say()
    try:
        serve(path, say, arguments["keep"])
    except OSError as error:
        print(f"splicer: {path}: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - to whoever has typed the command
        return 1
    finally:
        say.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
