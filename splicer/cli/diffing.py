"""`splicer diff`: what a change of the configuration does to requests."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splicer.cli.importing import Env, environment_of
from splicer.cli.options import fail

if TYPE_CHECKING:
    from splicer.config.schema import Config

_DIFFERENT = 3


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The configuration before.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The configuration after.")],
    env: Env = None,
    as_json: Annotated[bool, typer.Option("--json", help="Each request as an object, for scripts.")] = False,
) -> None:
    """Show which requests two configurations serve differently.

    A file is a routing.toml, or nginx.conf (*.conf), Envoy's or Istio's (*.yaml), which is imported first. Requests
    are made of both files' patterns, hosts and conditions.

    Exit code 0 if there is no difference, 3 if there is one, 1 if a file can't be read.
    """
    from splicer.comparison.compare import as_json as told
    from splicer.comparison.compare import as_lines, compare

    comparison = compare(_read(old, env or []), _read(new, env or []))
    if as_json:
        print(json.dumps(told(comparison), indent=2, ensure_ascii=False))  # noqa: T201 - the command's output
    else:
        for line in as_lines(comparison):
            print(line)  # noqa: T201 - the command's output
    if not comparison.is_empty:
        raise typer.Exit(_DIFFERENT)


def _read(path: Path, env: Sequence[str]) -> Config:
    from splicer.config.load import load
    from splicer.configfile.read import read_config
    from splicer.errors import ConfigError
    from splicer.importer.directive import ImportFault
    from splicer.importer.run import Options, kind_of, run_import

    environ = environment_of(env)
    try:
        if (kind := kind_of(path)) is None:
            return read_config(path, {**os.environ, **environ})
        return load(run_import(kind, [str(path)], Options(environ=environ)).text, environ={})
    except ConfigError as error:
        fail(*error.faults)
    except ImportFault as fault:
        fail(str(fault))
