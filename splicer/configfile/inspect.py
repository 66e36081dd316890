"""The child process that reads a routing.toml for the supervisor, which itself parses no configuration.

    python -m splicer.configfile.inspect FILE [--text FD]

FD holds the text in force. The child prints one message: the facts that the supervisor needs, or the faults.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

from splicer.config.addresses import ListenAddress
from splicer.config.diff import diff, needs_restart
from splicer.config.discovery import needs_discovery
from splicer.config.lint import warnings
from splicer.config.listener import Listener, to_text
from splicer.config.load import load
from splicer.config.schema import Config
from splicer.configfile.cpus import usable_cpus
from splicer.configfile.hooks import load_hooks
from splicer.configfile.inherited import inherited
from splicer.configfile.read import read_file
from splicer.configfile.signature import Signature, signature_of
from splicer.configfile.tls_settings import tls_settings
from splicer.errors import ConfigError
from splicer.ipc.facts import LISTENERS, Address, ConfigSummary, Faults
from splicer.ipc.wire import answer, read_text


def inspect(path: Path, old: str | None) -> ConfigSummary | Faults:
    """Read a file; return the facts that the supervisor needs, or the faults.

    Args:
        path: the routing.toml.
        old: the text in force, to list what has changed; None: there is none.
    """
    signature = _signature(path)
    try:
        text, signature = read_file(path)
        config = _parsed(text, path)
        with redirect_stdout(sys.stderr):  # what foreign code prints must not get into the answer
            load_hooks(str(path), config.hooks.values())
        workers = usable_cpus() if config.server.workers == "auto" else config.server.workers
    except ConfigError as error:
        return Faults(tuple(error.faults), signature)
    except ValueError as error:
        return Faults((f'{path}: [server] workers = "auto": {error}',), signature)
    before = config if old is None else load(old, name=str(path), environ=os.environ)
    return ConfigSummary(
        text=text,
        read=signature,
        listeners={name: _addresses(getattr(config.server, name)) for name in LISTENERS},
        workers=workers,
        drain=config.deadlines.drain,
        format=config.log.format,
        warnings=tuple(warnings(config, text)),
        changes=diff(before, config),
        needs_restart=needs_restart(before, config),
        tls=tls_settings(config, workers),
        rules={str(listener.address): text for listener in config.server.listen if (text := to_text(listener))},
        traces=config.tracing is not None and config.tracing.endpoint is not None,
        discovery=needs_discovery(config.upstreams.values()),
    )


def _parsed(text: str, path: Path) -> Config:
    parsed = inherited(text, os.environ)
    return load(text, name=str(path), environ=os.environ) if parsed is None else parsed.config


def _signature(path: Path) -> Signature | None:
    try:
        return signature_of(path.stat())
    except OSError:
        return None


# One address, several listeners, or none: as the key allows.
def _addresses(value: ListenAddress | tuple[Listener, ...] | None) -> tuple[Address, ...]:
    if isinstance(value, tuple):
        several = tuple(listener.address for listener in value)
    else:
        several = () if value is None else (value,)
    return tuple((address.host, address.port) for address in several)


def main() -> None:
    """Print the result for the file that the arguments name."""
    path, *rest = sys.argv[1:]
    answer(inspect(Path(path), read_text(int(rest[1])) if rest else None))


if __name__ == "__main__":
    main()
