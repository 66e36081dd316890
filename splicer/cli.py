"""The command line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from splicer import __version__
from splicer.supervisor.launch import SIGNALS

if TYPE_CHECKING:
    from splicer.ops.client import Client

app = typer.Typer(
    name="splicer",
    help="The edge proxy of a voice platform.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

tunnels = typer.Typer(
    help="List and close live calls, drain pods and routes: through the admin address.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(tunnels, name="tunnels")

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
_DEFAULT = Path("routing.toml")
_TIMEOUT = "2m"  # new workers start one after another, on a machine that may be busy


def main() -> None:
    """Run the command line."""
    app(prog_name="splicer")


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
    config: ConfigFile = _DEFAULT,
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
    """Run the edge.

    SIGHUP reloads, SIGTERM drains, SIGINT stops, SIGQUIT hands over, SIGUSR2 upgrades, SIGUSR1 renews the workers.
    """
    from splicer.ipc.arguments import SupervisorArguments
    from splicer.supervisor.launch import SUPERVISOR, become

    if last_good is not None and last_good.resolve() == config.resolve():
        _fail(f"--last-good: {last_good}: this is the configuration itself; name another file")
    become(
        SUPERVISOR,
        SupervisorArguments(
            str(config),
            None if vault is None else str(vault),
            watch,
            None if last_good is None else str(last_good),
            None if control is None else str(control),
        ),
    )


@app.command()
def vault(
    socket: Annotated[Path, typer.Option(metavar="PATH", help="Where `splicer run --vault PATH` finds it.")],
    keep: Annotated[
        str, typer.Option(metavar="DURATION", help="How long calls are kept while no worker is there.")
    ] = "10m",
) -> None:
    """Hold the calls in a process of its own, so that they outlive all of `splicer run`."""
    from splicer.ipc.arguments import VaultArguments
    from splicer.supervisor.launch import VAULT, become

    become(VAULT, VaultArguments(str(socket), _seconds(keep, "--keep")))


def _supervisor_command(word: str, signum: signal.Signals, text: str) -> None:
    def command(
        config: ConfigFile = _DEFAULT,
        pid: Pid = None,
        control: Control = None,
        no_wait: NoWait = False,
        timeout: Timeout = _TIMEOUT,
    ) -> None:
        from splicer.ops.control import CommandFailed, Supervisor

        seconds = _seconds(timeout, "--timeout")
        try:
            supervisor = Supervisor(config, pid, control)
            lines = supervisor.signal(signum) if no_wait else supervisor.ask(word, seconds)
        except CommandFailed as failed:
            _fail(*failed.faults)
        for line in lines:
            print(line)  # noqa: T201 - the command's output

    app.command(word, help=f"{text} Exit code 1, and why, if that fails.")(command)


_supervisor_command("reload", signal.SIGHUP, "Read the configuration again; one with a fault changes nothing.")
_supervisor_command(
    "upgrade", signal.SIGUSR2, "Go on with the code and the file now on disk: same process, same calls."
)
_supervisor_command("recycle", signal.SIGUSR1, "Renew the workers, one after another; each hands its calls over.")
_supervisor_command(
    "handover", signal.SIGQUIT, "End `splicer run`, and leave its calls in the vault of their own container."
)


@app.command()
def check(config: ConfigFile = _DEFAULT) -> None:
    """Check a configuration: every fault, each with its file, route and key."""
    from splicer.config.lint import warnings
    from splicer.config.load import load
    from splicer.configfile.read import read_text_of
    from splicer.errors import ConfigError

    try:
        text = read_text_of(config)
        checked = load(text, name=str(config), environ=os.environ)
    except ConfigError as error:
        _fail(*error.faults)
    for warning in warnings(checked, text):
        print(f"{config}: warning: {warning}", file=sys.stderr)  # noqa: T201 - the command's output
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
    config: ConfigFile = _DEFAULT,
    header: Annotated[list[str] | None, typer.Option("-H", "--header", metavar="'NAME: VALUE'")] = None,
) -> None:
    """Say which route a request takes, where it goes, and why not elsewhere."""
    from splicer.configfile.read import read_config
    from splicer.errors import ConfigError
    from splicer.explain import explain as explained

    try:
        explanation = explained(read_config(config, os.environ), method, target, header or [])
    except ConfigError as error:
        _fail(*error.faults)
    for line in explanation.lines:
        print(line)  # noqa: T201 - the command's output
    if not explanation.found:
        raise typer.Exit(1)


@app.command()
def status(config: ConfigFile = _DEFAULT, admin: Admin = None, as_json: AsJson = False) -> None:
    """Show the state of a running edge: configuration, workers, drains."""
    from splicer.ops import commands

    with _asking(config, admin) as client:
        commands.status(client, as_json=as_json)


@tunnels.command("list")
def tunnels_list(
    config: ConfigFile = _DEFAULT,
    admin: Admin = None,
    route: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this route.")] = None,
    pod: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this pod.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the live tunnels."""
    from splicer.ops import commands

    with _asking(config, admin) as client:
        commands.list_tunnels(client, route=route, pod=pod, as_json=as_json)


@tunnels.command("close")
def tunnels_close(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="As `splicer tunnels list` shows them.")],
    config: ConfigFile = _DEFAULT,
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """End tunnels at once. Exit code 1 if one of them isn't there."""
    from splicer.ops import commands

    with _asking(config, admin) as client:
        commands.close(client, ids, as_json=as_json)


@tunnels.command("drain")
def tunnels_drain(
    config: ConfigFile = _DEFAULT,
    admin: Admin = None,
    pod: Annotated[str | None, typer.Option(metavar="NAME", help="This pod alone.")] = None,
    route: Annotated[str | None, typer.Option(metavar="NAME", help="This route alone.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Lift the drain.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until no tunnel remains.")] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long to wait; then exit code 1. Without it: for ever.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Keep new calls off a pod, a route or the whole edge; live ones finish."""
    from splicer.ops import commands
    from splicer.ops.drain import Scope

    if pod is not None and route is not None:
        raise typer.BadParameter("a pod or a route, not both", param_hint="--pod, --route")
    if "" in (pod, route):
        raise typer.BadParameter("is empty", param_hint="--pod" if route is None else "--route")
    if undo and wait:
        raise typer.BadParameter("there is nothing to wait for with --undo", param_hint="--wait")
    if timeout is not None and not wait:
        raise typer.BadParameter("goes with --wait", param_hint="--timeout")
    scope, seconds = Scope(pod, route), _seconds(timeout or "never", "--timeout")
    with _asking(config, admin) as client:
        if undo:
            commands.lift(client, scope, as_json=as_json)
        elif wait:
            commands.drain_and_wait(client, scope, timeout=seconds, as_json=as_json)
        else:
            commands.drain(client, scope, as_json=as_json)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the tour.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The edge's port on 127.0.0.1; 0 takes any free one.")
    ] = 8080,
) -> None:
    """Run a whole small voice system on 127.0.0.x, with a call through it."""
    from splicer.demo import DemoFailed, run_demo

    try:
        run_demo(once=once, port=port)
    except DemoFailed as error:
        _fail(error.detail)


@contextmanager
def _asking(config: Path, admin: str | None) -> Iterator[Client]:
    from splicer.config.scalars import BadValue
    from splicer.ops.client import Client
    from splicer.ops.failure import AdminFailed
    from splicer.ops.where import admin_address, admin_of

    try:
        yield Client(*(admin_of(config) if admin is None else admin_address(admin)))
    except BadValue as error:
        raise typer.BadParameter(str(error), param_hint="--admin") from error
    except AdminFailed as error:
        _fail(*error.faults)


def _seconds(value: str, option: str) -> float:
    from splicer.config.scalars import BadValue
    from splicer.config.values import duration

    try:
        return duration(value)
    except BadValue as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _fail(*faults: str) -> NoReturn:
    for fault in faults:
        print(f"splicer: {fault}", file=sys.stderr)  # noqa: T201 - the command's output
    raise typer.Exit(1)
