"""What a person types."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from splicer import __version__
from splicer.control.reload import read_config
from splicer.errors import ConfigError

app = typer.Typer(
    name="splicer",
    help="The edge proxy of a voice platform.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigFile = Annotated[Path, typer.Option("-c", "--config", metavar="FILE", help="The configuration.")]
_DEFAULT = Path("routing.toml")


def main() -> None:
    """Run the command line."""
    app(prog_name="splicer")


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"splicer {__version__}")  # noqa: T201 - the command's output
        raise typer.Exit


@app.command()
def run(config: ConfigFile = _DEFAULT) -> None:
    """Run the edge. SIGHUP reloads, SIGTERM drains, SIGINT stops."""
    from splicer.run import serve

    try:
        serve(config, os.environ)
    except ConfigError as error:
        _fail(*error.faults)


@app.command()
def check(config: ConfigFile = _DEFAULT) -> None:
    """Check a configuration: every fault, each with its file, route and key."""
    from splicer.config.advice import warnings

    try:
        checked = read_config(config, os.environ)
    except ConfigError as error:
        _fail(*error.faults)
    for warning in warnings(checked):
        print(f"{config}: warning: {warning}", file=sys.stderr)  # noqa: T201 - the command's output
    print(f"{config}: ok, {len(checked.routes)} routes, {len(checked.upstreams)} upstreams")  # noqa: T201


@app.command()
def explain(
    method: Annotated[str, typer.Argument(help="GET, POST ...")],
    target: Annotated[str, typer.Argument(help="The path, with or without a query.")],
    config: ConfigFile = _DEFAULT,
    header: Annotated[list[str] | None, typer.Option("-H", "--header", metavar="'NAME: VALUE'")] = None,
) -> None:
    """Say which route a request takes, where it goes, and why not elsewhere."""
    from splicer.control.explain import explain as explained

    try:
        explanation = explained(read_config(config, os.environ), method, target, header or [])
    except ConfigError as error:
        _fail(*error.faults)
    for line in explanation.lines:
        print(line)  # noqa: T201 - the command's output
    if not explanation.found:
        raise typer.Exit(1)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the tour.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the edge, on 127.0.0.1; 0 takes any free one.")
    ] = 8080,
) -> None:
    """Run a whole small voice system on 127.0.0.x, with a call through it."""
    from splicer.demo import DemoFailed, run_demo

    try:
        run_demo(once=once, port=port)
    except DemoFailed as error:
        _fail(error.detail)


def _fail(*faults: str) -> NoReturn:
    for fault in faults:
        print(f"splicer: {fault}", file=sys.stderr)  # noqa: T201 - the command's output
    raise typer.Exit(1)
