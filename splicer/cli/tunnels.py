"""`splicer tunnels`: live calls and drains, through the admin address."""

from __future__ import annotations

from typing import Annotated

import typer

from splicer.cli.options import DEFAULT, Admin, AsJson, ConfigFile, asking, seconds_of

tunnels = typer.Typer(
    help="List and close live calls, drain pods and routes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@tunnels.command("list")
def tunnels_list(
    config: ConfigFile = DEFAULT,
    admin: Admin = None,
    route: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this route.")] = None,
    pod: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this pod.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the live tunnels."""
    from splicer.ops import commands

    with asking(config, admin) as client:
        commands.list_tunnels(client, route=route, pod=pod, as_json=as_json)


@tunnels.command("close")
def tunnels_close(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="As `splicer tunnels list` shows them.")],
    config: ConfigFile = DEFAULT,
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """End tunnels at once. Exit code 1 if one of them isn't there."""
    from splicer.ops import commands

    with asking(config, admin) as client:
        commands.close(client, ids, as_json=as_json)


@tunnels.command("drain")
def tunnels_drain(
    config: ConfigFile = DEFAULT,
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
    """Keep new calls off a pod, a route or the edge; live ones finish."""
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
    scope, seconds = Scope(pod, route), seconds_of(timeout or "never", "--timeout")
    with asking(config, admin) as client:
        if undo:
            commands.lift(client, scope, as_json=as_json)
        elif wait:
            commands.drain_and_wait(client, scope, timeout=seconds, as_json=as_json)
        else:
            commands.drain(client, scope, as_json=as_json)
