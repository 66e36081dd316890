"""The options that several commands have, and how a command fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from splicer.ops.client import Client

# Typer doesn't check that the file is readable: the code that reads it reports that in one line, like any other fault.
ConfigFile = Annotated[Path, typer.Option("-c", "--config", metavar="FILE", help="The configuration.", readable=False)]
Pid = Annotated[int | None, typer.Option(min=1, help="The supervisor's pid, if several run the same file.")]
Control = Annotated[
    Path | None,
    typer.Option("--control", metavar="SOCKET", help="The supervisor's, if its process title can't be read."),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Send the signal alone; the log says how it went.")]
Timeout = Annotated[
    str, typer.Option(metavar="DURATION", help="How long to wait; then exit code 1, and the command goes on.")
]
Admin = Annotated[
    str | None, typer.Option("--admin", metavar="HOST:PORT", help="The admin address, if not the one that FILE names.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The answer of the admin address as it is, for scripts.")]
DEFAULT = Path("routing.toml")


@contextmanager
def asking(config: Path, admin: str | None) -> Iterator[Client]:
    """A client of the admin address; a failure is reported, and the exit code 1."""
    from splicer.config.scalars import BadValue
    from splicer.ops.client import Client
    from splicer.ops.failure import AdminFailed
    from splicer.ops.where import admin_address, admin_of

    try:
        yield Client(*(admin_of(config) if admin is None else admin_address(admin)))
    except BadValue as error:
        raise typer.BadParameter(str(error), param_hint="--admin") from error
    except AdminFailed as error:
        fail(*error.faults)


def seconds_of(value: str, option: str) -> float:
    """The seconds of a duration that was given with this option."""
    from splicer.config.scalars import BadValue
    from splicer.config.values import duration

    try:
        return duration(value)
    except BadValue as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def fail(*faults: str, code: int = 1) -> NoReturn:
    """Print why the command fails, one line each, and end with this exit code."""
    for fault in faults:
        print(f"splicer: {fault}", file=sys.stderr)  # noqa: T201 - the command's output
    raise typer.Exit(code)


def need_mover() -> None:
    """End with exit code 2 if the environment asks for a mover that can't be had: each worker would end by it."""
    from splicer.relay.choice import UnfitChoice

    try:
        import splicer.relay.state  # noqa: F401 - importing it makes the choice
    except UnfitChoice as error:
        fail(str(error), code=2)


def refuse(options: Mapping[str, object], why: str) -> None:
    """End with exit code 2 if one of these options was given."""
    for option, value in options.items():
        if value not in (None, False):
            raise typer.BadParameter(why, param_hint=option)
