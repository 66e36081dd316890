"""Reading a configuration from a file, or from the text that the supervisor has accepted."""

from __future__ import annotations

import codecs
import io
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from attrs import evolve, frozen

from splicer.config.load import load
from splicer.config.schema import Config
from splicer.configfile.hooks import NO_HOOKS, HookGeneration, load_hooks
from splicer.configfile.inherited import inherited
from splicer.configfile.signature import Signature, signature_of
from splicer.errors import ConfigError
from splicer.routing.table import RouteTable

_MAX_BYTES = 16 << 20  # size of a file


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
        raise _undecodable(path, error) from error


# Only regular files: reading a device, or a pipe whose writer is silent, might never end.
def read_file(path: Path) -> tuple[str, Signature]:
    """The text of a routing.toml, and the signature of the file, by which a later change or replacement is noticed.

    Raises:
        ConfigError: it can't be read, is no regular file, or is too large.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())  # before the text is read, so that a change meanwhile is noticed later
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError((f"{path}: not a regular file",))
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}",)) from error
    if len(data) > _MAX_BYTES:
        raise ConfigError((f"{path}: more than {_MAX_BYTES >> 20} MiB",))
    try:
        return io.StringIO(data.decode(), newline=None).read(), signature_of(status)
    except UnicodeDecodeError as error:
        raise _undecodable(path, error) from error


def _undecodable(path: Path, error: UnicodeDecodeError) -> ConfigError:
    if error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ConfigError((f"{path}: begins with the byte-order mark (BOM) of UTF-16; save it as UTF-8",))
    return ConfigError((f"{path}: not UTF-8 at byte {error.start}",))


def read_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read and check a routing.toml.

    Raises:
        ConfigError: it can't be read, or has faults.
    """
    return load(read_text_of(path), name=str(path), environ=environ)


@frozen
class Prepared:
    """A configuration, its route table and its hooks."""

    config: Config
    table: RouteTable
    hooks: HookGeneration = NO_HOOKS


def prepare(text: str, path: Path, environ: Mapping[str, str]) -> Prepared:
    """Do the slow part of putting a configuration in force: parse it and compile its routes, if the template has not.

    Raises:
        ConfigError: the text has faults.
    """
    if (parsed := inherited(text, environ)) is not None:
        return Prepared(parsed.config, parsed.table)
    config = load(text, name=str(path), environ=environ)
    return Prepared(config, RouteTable(config.routes))


def prepare_to_serve(text: str, path: Path, environ: Mapping[str, str]) -> Prepared:
    """As `prepare`, and load the hooks: foreign code runs.

    Raises:
        ConfigError: the text has faults, or a hook can't be loaded.
    """
    prepared = prepare(text, path, environ)
    return evolve(prepared, hooks=load_hooks(str(path), prepared.config.hooks.values()))
