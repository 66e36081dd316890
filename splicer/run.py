"""`splicer run`: from a file to a serving worker."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import trio
from setproctitle import setproctitle

from splicer.config.advice import warnings
from splicer.config.schema import Config
from splicer.control.lines import LineWriter
from splicer.control.log import Logger, make_logger
from splicer.control.reload import read_config
from splicer.errors import ConfigError
from splicer.net.listen import bind
from splicer.worker import Worker, raise_descriptor_limit

_SWITCH_SECONDS = 0.0005  # for how long another thread (a reload, the log) may hold up the frames


def serve(path: Path, environ: Mapping[str, str]) -> None:
    """Run the edge until a signal ends it.

    Args:
        path: the routing.toml.
        environ: for its ``${NAME}``.

    Raises:
        ConfigError: the file has faults, or an address can't be listened on.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until its handler stands: the file is about to be read anyway
    sys.setswitchinterval(_SWITCH_SECONDS)
    config = read_config(path, environ)
    raise_descriptor_limit()
    listeners = _bind(path, config)
    setproctitle(f"splicer: worker {path}")
    with _logger(config) as log:
        for warning in warnings(config):
            log.warning("config_warning", warning=warning)
        trio.run(Worker(config, path, environ, listeners, log).run)


def _bind(path: Path, config: Config) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    try:
        for address in config.server.listen:
            listeners.append(bind(address.host, address.port))
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise ConfigError((f"{path}: server.listen: {address}: {error.strerror}",)) from error
    return listeners


@contextmanager
def _logger(config: Config) -> Iterator[Logger]:
    stdout = sys.stdout.fileno()
    lines = LineWriter(stdout)
    try:
        yield make_logger(lines, config.log.format, colors=os.isatty(stdout))
    finally:
        lines.close()
