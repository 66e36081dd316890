"""The command line."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splicer import __version__
from splicer.cli.check_files import check_files
from splicer.cli.diffing import diff
from splicer.cli.importing import importing
from splicer.cli.options import (
    DEFAULT,
    Admin,
    AsJson,
    ConfigFile,
    Control,
    NoWait,
    Pid,
    Timeout,
    asking,
    fail,
    need_mover,
    refuse,
    seconds_of,
)
from splicer.cli.top import top
from splicer.cli.tunnels import tunnels
from splicer.supervisor.launch import SIGNALS

if TYPE_CHECKING:
    from splicer.ipc.arguments import StartedTemplate

app = typer.Typer(
    name="splicer",
    help="The edge proxy of a voice platform.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(tunnels, name="tunnels")
app.add_typer(importing, name="import")
app.command()(diff)
app.command()(top)

_CALLS, _MOST_CALLS = 3, 500  # that the demo keeps alive
_TIMEOUT = "2m"  # new workers start one after another, on a machine that may be busy


def main(template: StartedTemplate | None = None) -> None:
    """Run the command line.

    Args:
        template: for `run`: a template that loads already.
    """
    app(prog_name="splicer", obj=template)


# `__main__` has blocked the signals. The programs of `run` and `vault` unblock them when they have their handlers.
@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if context.invoked_subcommand not in ("run", "vault"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    if version:
        print(f"splicer {__version__}")  # noqa: T201 - the command's output
        raise typer.Exit


@app.command()
def run(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "-c", "--config", metavar="FILE", help="The configuration; by default routing.toml.", readable=False
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="HOST:PORT", help="Instead of a file: send all HTTP and WebSocket there."),
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="ADDRESS:PORT", help="With --to: where clients connect; by default :8080.")
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS:PORT", help='With --to: the admin address, or "off"; by default 127.0.0.1:9901.'),
    ] = None,
    show: Annotated[
        bool, typer.Option("--print", help="With --to: print the file that it stands for, and end.")
    ] = False,
    vault: Annotated[
        Path | None,
        typer.Option(metavar="SOCKET", help="Socket of a `splicer vault`; it keeps the calls if this edge ends."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Reload when FILE changes: an editor's, or a mounted ConfigMap's.")
    ] = False,
    last_good: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Keep each accepted configuration here; start with it if routing.toml is broken."
        ),
    ] = None,
    control: Annotated[
        Path | None,
        typer.Option(
            metavar="SOCKET",
            help="Where `splicer reload` and the like reach the supervisor. By default beside the vault's socket, in "
            "$XDG_RUNTIME_DIR, or in shared memory; the commands find it.",
        ),
    ] = None,
) -> None:
    """Run the edge: by a file, or for the one address of --to.

    SIGHUP reloads, SIGTERM drains, SIGINT stops, SIGQUIT hands over, SIGUSR2 upgrades, SIGUSR1 renews the workers.
    """
    from splicer.ipc.arguments import StartedTemplate, SupervisorArguments
    from splicer.supervisor.launch import SUPERVISOR, become

    if to is None:
        refuse({"--listen": listen, "--admin": admin, "--print": show}, "goes with --to; otherwise the file says it")
    else:
        refuse({"--config": config, "--watch": watch, "--last-good": last_good}, "can't stand beside --to")
    if to is None and config is None and last_good is None and not DEFAULT.exists():
        fail(f"{DEFAULT}: there is no such file; name one with -c, or say --to HOST:PORT to go without one")
    need_mover()
    path = (config or DEFAULT) if to is None else _made_file(to, listen, admin, show=show)
    if last_good is not None and last_good.resolve() == path.resolve():
        fail(f"--last-good: {last_good}: this is the configuration itself; name another file")
    template = context.find_object(StartedTemplate)
    become(
        SUPERVISOR,
        SupervisorArguments(
            str(path),
            None if vault is None else str(vault),
            watch,
            None if last_good is None else str(last_good),
            None if control is None else str(control),
            made=to is not None,
            template=template,
        ),
        [] if template is None else [template.control],
    )


# Its module imports all of the configuration, for which a start by a file must not wait.
def _made_file(to: str, listen: str | None, admin: str | None, *, show: bool) -> Path:
    from splicer.cli.run_to import made_file

    return made_file(to, listen, admin, show=show)


@app.command()
def vault(
    socket: Annotated[Path, typer.Option(metavar="PATH", help="Where `splicer run --vault PATH` finds it.")],
    keep: Annotated[
        str, typer.Option(metavar="DURATION", help="How long calls are kept while no worker is there.")
    ] = "10m",
    tls: Annotated[
        bool,
        typer.Option(
            "--tls", help="Run the tls processes too: the keys are read here, and calls over TLS outlive the edge."
        ),
    ] = False,
) -> None:
    """Hold the calls in a process that outlives all of `splicer run`."""
    from splicer.ipc.arguments import VaultArguments
    from splicer.supervisor.launch import VAULT, become

    become(VAULT, VaultArguments(str(socket), seconds_of(keep, "--keep"), tls))


def _supervisor_command(word: str, signum: signal.Signals, text: str) -> None:
    def command(
        config: ConfigFile = DEFAULT,
        pid: Pid = None,
        control: Control = None,
        no_wait: NoWait = False,
        timeout: Timeout = _TIMEOUT,
    ) -> None:
        from splicer.ops.control import CommandFailed, Supervisor

        seconds = seconds_of(timeout, "--timeout")
        try:
            supervisor = Supervisor(config, pid, control)
            lines = supervisor.signal(signum) if no_wait else supervisor.ask(word, seconds)
        except CommandFailed as failed:
            fail(*failed.faults)
        for line in lines:
            print(line)  # noqa: T201 - the command's output

    app.command(word, help=f"{text} Exit code 1, and why, if that fails.")(command)


_supervisor_command("reload", signal.SIGHUP, "Read the configuration again; one with a fault changes nothing.")
_supervisor_command("upgrade", signal.SIGUSR2, "Go on with the code and the file now on disk; calls go on too.")
_supervisor_command("recycle", signal.SIGUSR1, "Renew the workers, one by one; each hands its calls over.")
_supervisor_command("handover", signal.SIGQUIT, "End `splicer run`; a vault of another container has its calls.")


@app.command()
def check(
    config: ConfigFile = DEFAULT,
    hooks: Annotated[bool, typer.Option("--hooks", help="Import the hooks too: their code runs.")] = False,
    files: Annotated[
        bool, typer.Option("--files", help="Read certificates and keys too; what checks a file may have none.")
    ] = False,
) -> None:
    """Check a configuration: every fault, with file, route and key."""
    from splicer.config.lint import warnings
    from splicer.config.load import load
    from splicer.configfile.hooks import load_hooks
    from splicer.configfile.read import read_text_of
    from splicer.errors import ConfigError

    need_mover()
    try:
        text = read_text_of(config)
        checked = load(text, name=str(config), environ=os.environ)
        if hooks:
            load_hooks(str(config), checked.hooks.values())
    except ConfigError as error:
        fail(*error.faults)
    for warning in warnings(checked, text):
        print(f"{config}: warning: {warning}", file=sys.stderr)  # noqa: T201 - the command's output
    if files:
        check_files(config, checked)
    print(f"{config}: ok, {len(checked.routes)} routes, {len(checked.upstreams)} upstreams")  # noqa: T201


@app.command()
def schema() -> None:
    """Print the JSON schema of routing.toml, for an editor."""
    import json

    from splicer.config.json_schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))  # noqa: T201 - the command's output


@app.command()
def explain(
    method: Annotated[str, typer.Argument(help="GET, POST ...")],
    target: Annotated[str, typer.Argument(help="The path, with or without a query.")],
    config: ConfigFile = DEFAULT,
    header: Annotated[list[str] | None, typer.Option("-H", "--header", metavar="'NAME: VALUE'")] = None,
) -> None:
    """Say which route a request takes, where it goes, and why."""
    from splicer.configfile.read import read_config
    from splicer.errors import ConfigError
    from splicer.explain import explain as explained

    try:
        explanation = explained(read_config(config, os.environ), method, target, header or [])
    except ConfigError as error:
        fail(*error.faults)
    for line in explanation.lines:
        print(line)  # noqa: T201 - the command's output
    if not explanation.found:
        raise typer.Exit(1)


@app.command()
def status(config: ConfigFile = DEFAULT, admin: Admin = None, as_json: AsJson = False) -> None:
    """Show configuration, workers and drains of a running edge."""
    from splicer.ops import commands

    with asking(config, admin) as client:
        commands.status(client, as_json=as_json)


@app.command()
def upstreams(config: ConfigFile = DEFAULT, admin: Admin = None, as_json: AsJson = False) -> None:
    """Show the upstreams' endpoints: state, since when, why, calls."""
    from splicer.ops import commands

    with asking(config, admin) as client:
        commands.list_upstreams(client, as_json=as_json)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the tour.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The edge's port on 127.0.0.1; 0 takes any free one.")
    ] = 8080,
    calls: Annotated[
        int | None,
        typer.Option(min=0, max=_MOST_CALLS, help="After the tour: how many calls to keep alive; by default 3."),
    ] = None,
) -> None:
    """Run a small voice system on 127.0.0.x, with a call through it."""
    from splicer.demo import DemoFailed, run_demo

    if once:
        refuse({"--calls": calls}, "there is nothing after the tour with --once")
    try:
        run_demo(once=once, port=port, calls=_CALLS if calls is None else calls)
    except DemoFailed as error:
        fail(error.detail)
