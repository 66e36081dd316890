"""The configuration that a process has from the template, which has parsed it once for all that it forks later.

Parsing writes to, and so copies, two megabytes of the memory that a forked process shares with the template.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from splicer.config.load import load
from splicer.config.schema import Config
from splicer.errors import ConfigError
from splicer.routing.table import RouteTable


@frozen
class Parsed:
    """A text, the environment for its ``${NAME}``, and what was made of them."""

    text: str
    environ: Mapping[str, str]
    config: Config
    table: RouteTable


class _Kept:
    parsed: Parsed | None = None


def keep(text: str, environ: Mapping[str, str]) -> None:
    """Parse a text, in the template, for the processes that are forked from now on; keep nothing if it has faults."""
    if inherited(text, environ) is None:
        try:
            config = load(text, environ=environ)
        except ConfigError:  # whoever needs it reads it again, and reports the faults
            return
        _Kept.parsed = Parsed(text, environ, config, RouteTable(config.routes))


def inherited(text: str, environ: Mapping[str, str]) -> Parsed | None:
    """What was made of exactly this text in the template; else None, and what another text gave is forgotten."""
    parsed = _Kept.parsed
    if parsed is not None and not (parsed.text == text and parsed.environ is environ):
        parsed = _Kept.parsed = None
    return parsed
