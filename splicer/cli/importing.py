"""`splicer import`: routing.toml from the configuration of another proxy."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splicer.cli.options import fail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from splicer.importer.run import Imported, Options

importing = typer.Typer(
    help="Make a routing.toml of a file of nginx, Envoy or Istio.\n\nIt says what became of each directive.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_LOST = 3

Files = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="The configuration; several files are read as one.")
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where it goes; by default stdout.")
]
Report = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the report there, as JSON, instead of to stderr.")
]
Env = Annotated[
    list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="What ${NAME} stands for; once for each.")
]
Fold = Annotated[bool, typer.Option("--fold/--no-fold", help="Whether routes that differ in a pod's name become one.")]


@importing.command()
def nginx(
    files: Files,
    output: Output = None,
    report: Report = None,
    fold: Fold = True,
    env: Env = None,
    domain: Annotated[
        str, typer.Option(metavar="DOMAIN", help="Is added to names without a dot: voice-system.svc.cluster.local.")
    ] = "",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Whose servers are meant; by default that with most locations.")
    ] = None,
) -> None:
    """Import nginx.conf. Exit code 0; 3 if something is lost; 1 if a file can't be read, and nothing is written."""
    from splicer.importer.run import Options

    options = Options(fold=fold, environ=environment_of(env or []), domain=domain.strip("."), port=port)
    _import("nginx", files, options, output, report)


@importing.command()
def envoy(files: Files, output: Output = None, report: Report = None, fold: Fold = True) -> None:
    """Import a static configuration of Envoy, API v3. Exit codes as for nginx."""
    from splicer.importer.run import Options

    _import("envoy", files, Options(fold=fold), output, report)


@importing.command()
def istio(
    files: Files,
    output: Output = None,
    report: Report = None,
    fold: Fold = True,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Of resources that name none.")] = "default",
    domain: Annotated[str, typer.Option(metavar="DOMAIN", help="Of the cluster.")] = "cluster.local",
) -> None:
    """Import Istio's resources, and HTTPRoutes of the Gateway API. Exit codes as for nginx."""
    from splicer.importer.run import Options

    _import("istio", files, Options(fold=fold, namespace=namespace, domain=domain.strip(".")), output, report)


def environment_of(words: Sequence[str]) -> Mapping[str, str]:
    """The variables that ``--env`` gives."""
    for word in words:
        if not word.partition("=")[0].isidentifier() or "=" not in word:
            raise typer.BadParameter(f"{word!r}: write NAME=VALUE", param_hint="--env")
    return dict(word.split("=", 1) for word in words)


def _import(kind: str, files: Sequence[str], options: Options, output: Path | None, report: Path | None) -> None:
    from splicer.config.lint import warnings
    from splicer.config.load import load
    from splicer.importer.directive import ImportFault
    from splicer.importer.run import run_import

    try:
        imported = run_import(kind, files, options)
    except ImportFault as fault:
        fail(str(fault))
    if output is None:
        print(imported.text, end="")  # noqa: T201 - the command's output
    else:
        _write(output, imported.text, "--output")
    _tell(imported, report)
    for warning in warnings(load(imported.text, environ={})):
        print(f"{output or 'routing.toml'}: warning: {warning}", file=sys.stderr)  # noqa: T201 - the command's output
    if not imported.is_whole:
        raise typer.Exit(_LOST)


def _tell(imported: Imported, report: Path | None) -> None:
    from splicer.importer.report import as_json, as_text, summary

    if report is None:
        lines = as_text(imported.entries, imported.notices)
    else:
        told = as_json(imported.entries, imported.notices)
        _write(report, json.dumps(told, indent=2, ensure_ascii=False) + "\n", "--report")
        lines = [f"{report}: {summary(imported.entries)}"]
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201 - the command's output


# A file is replaced as a whole, for an edge may be watching it.
def _write(path: Path, text: str, option: str) -> None:
    target = path.resolve()
    try:
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8")  # /dev/stdout and the like
            return
        fd, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
            Path(name).chmod(mode)
            Path(name).replace(target)
        except OSError:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        fail(f"{option}: can't write {path}: {error.strerror}")
