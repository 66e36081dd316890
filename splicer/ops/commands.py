"""The commands: each asks the admin address, and prints the answer as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote, urlencode

from splicer.config.scalars import printable
from splicer.config.values import format_duration
from splicer.ops.answer import JsonObject
from splicer.ops.client import Client
from splicer.ops.drain import Scope, remain, wait
from splicer.ops.failure import AdminFailed, Refused
from splicer.ops.output import complain, on_terminal, progress, say


def status(client: Client, *, as_json: bool) -> None:
    """Show the state of the edge."""
    answer = client.ask("GET", "/status")
    if as_json:
        _say_json(answer)
        return
    from splicer.ops import tables

    say(tables.status(answer, colors=on_terminal()))


def list_upstreams(client: Client, *, as_json: bool) -> None:
    """Show the upstreams' endpoints."""
    answer = client.ask("GET", "/upstreams")
    _complain_of_missing(answer, "its calls are not counted")
    if as_json:
        _say_json(answer)
        return
    from splicer.ops import tables

    say(tables.upstreams(answer, colors=on_terminal()))


def list_tunnels(client: Client, *, route: str | None, pod: str | None, as_json: bool) -> None:
    """Show the live tunnels: all, or those of a route, of a pod."""
    wanted = {key: value for key, value in (("route", route), ("pod", pod)) if value is not None}
    answer = client.ask("GET", "/tunnels" + ("?" + urlencode(wanted, errors="surrogateescape") if wanted else ""))
    _complain_of_missing(answer, "its tunnels are not in the list")
    if as_json:
        _say_json(answer)
        return
    from splicer.ops import tables

    say(tables.tunnels(answer, colors=on_terminal()))


# The list of closed tunnels is printed even after an error: a failure must not hide which tunnels were closed.
def close(client: Client, ids: Iterable[str], *, as_json: bool) -> None:
    """End tunnels.

    Raises:
        AdminFailed: one of them doesn't exist; the others are closed all the same.
    """
    closed: list[str] = []
    faults: list[str] = []
    try:
        for one in dict.fromkeys(ids):
            try:
                answer = client.ask("DELETE", "/tunnels/" + quote(one, safe="", errors="surrogateescape"))
            except Refused as error:
                faults += (f"tunnel {printable(one)}: {fault}" for fault in error.faults)
            else:
                closed.append(json.dumps(answer) if as_json else f"closed {printable(one)}")
    finally:
        if closed:
            say("\n".join(closed))
    if faults:
        raise AdminFailed(*faults)


def drain(client: Client, scope: Scope, *, as_json: bool) -> None:
    """Drain: new calls go elsewhere."""
    answer = client.ask("POST", "/drain", scope.body)
    count = scope.remaining(answer)
    if as_json:
        _say_json(answer)
    else:
        say(f"{scope}: draining, {remain(count)}")


def drain_and_wait(client: Client, scope: Scope, *, timeout: float, as_json: bool) -> None:
    """Drain, and wait until the live calls are over.

    Args:
        client: the admin address.
        scope: what is drained.
        timeout: how long to wait, in seconds.
        as_json: print only the last answer.

    Raises:
        AdminFailed: not all calls are over in time. The drain goes on.
    """
    answer = client.ask("POST", "/drain", scope.body)
    if as_json:
        answer = wait(client, scope, answer, timeout, lambda _: None)
        _say_json(answer)
    else:
        with progress() as show:
            answer = wait(client, scope, answer, timeout, lambda count: show(f"{scope}: draining, {remain(count)}"))
    if (count := scope.remaining(answer)) != 0:
        raise AdminFailed(f"{scope}: {remain(count)} after {format_duration(timeout)}; the drain goes on")
    if not as_json:
        say(f"{scope}: drained")


def lift(client: Client, scope: Scope, *, as_json: bool) -> None:
    """End a drain: new calls are taken again."""
    answer = client.ask("DELETE", "/drain", scope.body)
    if as_json:
        _say_json(answer)
    else:
        say(f"{scope}: no longer drained")


def _complain_of_missing(answer: JsonObject, lack: str) -> None:
    missing = answer.get("missing_workers")
    for slot in missing if isinstance(missing, list) else ():
        complain(f"worker {printable(str(slot))} did not answer: {lack}")


# In ASCII: no name in a string can send commands to the terminal.
def _say_json(answer: JsonObject) -> None:
    say(json.dumps(answer))
