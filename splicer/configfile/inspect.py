"""The child process that reads a routing.toml for the supervisor, which itself parses no configuration.

    python -m splicer.configfile.inspect FILE [--text FD]

FD holds the text in force. The child prints one JSON object: the facts that the supervisor needs, or the faults.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from splicer.config.addresses import ListenAddress
from splicer.config.diff import diff, needs_restart
from splicer.config.lint import warnings
from splicer.config.load import load
from splicer.config.schema import Config
from splicer.configfile.cpus import usable_cpus
from splicer.configfile.read import read_file
from splicer.configfile.signature import Signature, signature_of
from splicer.errors import ConfigError
from splicer.ipc.wire import answer, read_text


def inspect(path: Path, old: str | None) -> dict[str, Any]:
    """Read a file; return the facts that the supervisor needs, or the faults.

    Args:
        path: the routing.toml.
        old: the text in force, to list what has changed; None: there is none.
    """
    signature = _signature(path)
    try:
        text, signature = read_file(path)
        config = load(text, name=str(path), environ=os.environ)
    except ConfigError as error:
        return {"faults": list(error.faults), "read": signature}
    facts = {"text": text, "read": signature, "warnings": list(warnings(config, text))}
    return {**facts, **_facts(config), **_changes(path, old, config)}


def _signature(path: Path) -> Signature | None:
    try:
        return signature_of(path.stat())
    except OSError:
        return None


def _facts(config: Config) -> dict[str, Any]:
    workers = config.server.workers
    return {
        "listen": [_address(address) for address in config.server.listen],
        "admin": _address(config.server.admin),
        "metrics": _address(config.server.metrics),
        "workers": usable_cpus() if workers == "auto" else workers,
        "drain": config.deadlines.drain,
        "format": config.log.format,
    }


def _address(address: ListenAddress | None) -> tuple[str, int] | None:
    return None if address is None else (address.host, address.port)


def _changes(path: Path, old: str | None, config: Config) -> dict[str, Any]:
    if old is None:
        return {"changes": [], "needs_restart": []}
    before = load(old, name=str(path), environ=os.environ)
    return {"changes": list(diff(before, config)), "needs_restart": list(needs_restart(before, config))}


def main() -> None:
    """Print the result for the file that the arguments name."""
    path, *rest = sys.argv[1:]
    answer(inspect(Path(path), read_text(int(rest[1])) if rest else None))


if __name__ == "__main__":
    main()
