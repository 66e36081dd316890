"""From a file, or from the text that the supervisor has accepted, to a configuration that can be put in force."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from splicer.config.load import load
from splicer.config.schema import Config
from splicer.errors import ConfigError
from splicer.routing.table import RouteTable


def read_text_of(path: Path) -> str:
    """The text of a routing.toml.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise ConfigError((f"{path}: not UTF-8 at byte {error.start}",)) from error


def read_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read and check a routing.toml.

    Raises:
        ConfigError: it can't be read, or has faults.
    """
    return load(read_text_of(path), name=str(path), environ=environ)


@frozen
class Prepared:
    """A configuration, and its routes."""

    config: Config
    table: RouteTable


def prepare(text: str, path: Path, environ: Mapping[str, str]) -> Prepared:
    """Do what takes time of putting a configuration in force.

    Raises:
        ConfigError: the text has faults.
    """
    config = load(text, name=str(path), environ=environ)
    return Prepared(config, RouteTable(config.routes))
