"""SIGHUP: the file is read again, and the next request goes by it, or the old rules stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import trio
from attrs import define, frozen

from splicer.config.advice import warnings
from splicer.config.diff import diff, needs_restart
from splicer.config.load import load
from splicer.config.schema import Config
from splicer.control.log import Logger
from splicer.errors import ConfigError
from splicer.routing.table import RouteTable


def read_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read and check a routing.toml.

    Raises:
        ConfigError: it can't be read, or has faults.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise ConfigError((f"{path}: not UTF-8 at byte {error.start}",)) from error
    return load(text, name=str(path), environ=environ)


@frozen
class Prepared:
    """A configuration, and all that takes time to say of it.

    Args:
        config: what the file says.
        table: its routes.
        changes: against what is in force.
        warnings: what its writer hardly meant.
    """

    config: Config
    table: RouteTable
    changes: tuple[str, ...]
    warnings: tuple[str, ...]


def prepare(path: Path, environ: Mapping[str, str], old: Config) -> Prepared:
    """Do what a reload takes without touching what is in force.

    Raises:
        ConfigError: as `read_config`.
    """
    config = read_config(path, environ)
    return Prepared(config, RouteTable(config.routes), diff(old, config), warnings(config))


@define
class Reloader:
    """Holds the configuration in force.

    Args:
        path: the file.
        environ: for its ``${NAME}``.
        config: in force.
        log: where the outcome goes.
        apply: puts a new configuration in force; what needs a restart it leaves alone.
    """

    path: Path
    environ: Mapping[str, str]
    config: Config
    log: Logger
    apply: Callable[[Config, RouteTable], None]

    async def reload(self) -> None:
        """Read the file again, and put it in force or keep what is. No fault of it, nor of ours, ends a call."""
        try:
            await self._reload()
        except ConfigError as error:
            for fault in error.faults:
                self.log.error("reload_fault", fault=fault)  # noqa: TRY400 - a fault's text says it all
            self.log.error("reload_failed", file=str(self.path), kept="the old routes")  # noqa: TRY400
        except Exception as error:  # noqa: BLE001 - all calls live beside the task that awaits this
            self.log.error("reload_failed", file=str(self.path), kept="the old routes", error=repr(error))  # noqa: TRY400

    # In a thread: a large file, or a mount that hangs, must not hold up the frames, nor the end of the process.
    async def _reload(self) -> None:
        new = await trio.to_thread.run_sync(prepare, self.path, self.environ, self.config, abandon_on_cancel=True)
        self.apply(new.config, new.table)
        for warning in new.warnings:
            self.log.warning("config_warning", warning=warning)
        for key in needs_restart(self.config, new.config):
            self.log.warning("reload_needs_restart", key=key)
        self.config = new.config
        self.log.info("reload", file=str(self.path), changes=list(new.changes) or ["nothing"])
