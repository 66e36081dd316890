"""`splicer run --to`: its options, and the file that they stand for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import typer

from splicer.cli.options import fail
from splicer.config.scalars import BadValue
from splicer.errors import ConfigError
from splicer.ops import run_to


def made_file(to: str, listen: str | None, admin: str | None, *, show: bool) -> Path:
    """A new file with the configuration.

    Args:
        to: the value of ``--to``.
        listen: of ``--listen``; None: the default.
        admin: of ``--admin``; None: the default.
        show: whether to print the configuration instead, and end.
    """
    upstream = _checked(run_to.upstream_of, to, "--to")
    where = _checked(run_to.listen_of, run_to.LISTEN if listen is None else listen, "--listen")
    operators = _checked(run_to.admin_of, run_to.ADMIN if admin is None else admin, "--admin")
    try:
        text = run_to.text_for(upstream, where, operators)
    except ConfigError as error:
        fail(*error.faults)
    if show:
        print(text, end="")  # noqa: T201 - the command's output
        raise typer.Exit
    path = run_to.keep(text, run_to.directories(os.environ))
    if path is None:
        fail("--to: no directory for the file can be written to; run what --print shows with -c")
    return path


def _checked(read: Callable[[str], str], value: str, option: str) -> str:
    try:
        return read(value)
    except BadValue as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
