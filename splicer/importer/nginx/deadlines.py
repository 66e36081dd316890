"""nginx's timeouts as deadlines of a route."""

from __future__ import annotations

from splicer.importer.nginx.context import Context
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.source import Statement
from splicer.importer.times import duration, seconds_of

CONNECT = READ = 60.0  # nginx's defaults, seconds
_CALLS_ONLY = 10.0  # for a pod to accept a call
_MIXED = 60.0


def deadlines(context: Context, place: Place, connect_of_fallback: tuple[float, Statement | None] | None) -> None:
    """Set a route's deadlines.

    Args:
        context: gets the differences.
        place: the location; its route has `upgrade` already.
        connect_of_fallback: the connect timeout of the fallback, in seconds, with its directive.
    """
    route, scope = place.route, place.scope
    connect, connect_by = _time(place, "proxy_connect_timeout", CONNECT)
    read, read_by = _time(place, "proxy_read_timeout", READ)
    sources = [read_by] if read_by is not None else []
    handshake = read
    if connect_by is not None:
        route.put(("deadlines", "connect"), duration(connect), connect_by)
    if route.get("upgrade") is not None:
        route.put(("deadlines", "idle"), duration(read), *sources)
        handshake = min(read, _CALLS_ONLY if _is_for_calls(context, place) else _MIXED)
        if handshake < read and read_by is not None:
            context.ledger.differs(
                read_by,
                f"a pod has {duration(handshake)} for the head of its answer: with nginx, a caller of a silent pod "
                f"waits for {duration(read)}",
            )
    if read_by is not None:
        route.put(("deadlines", "response_idle"), duration(read), *sources)
    if read_by is not None or route.get("upgrade") is not None:
        route.put(("deadlines", "handshake"), duration(handshake), *sources)
    if connect_of_fallback is not None and connect_of_fallback[1] is not None and connect_of_fallback[0] != connect:
        context.ledger.differs(
            connect_of_fallback[1], f"deadlines.connect is one for both attempts: {duration(connect)}"
        )
    attempts = connect + handshake + (0.0 if connect_of_fallback is None else connect_of_fallback[0])
    if connect_by is not None or read_by is not None:
        route.put(("deadlines", "attempts"), duration(attempts))
    if (body := scope.last("client_body_timeout")) and (seconds := seconds_of(body.first)) is not None:
        route.put(("deadlines", "body_idle"), duration(seconds), body)


def _time(place: Place, name: str, default: float) -> tuple[float, Statement | None]:
    statement = place.scope.last(name)
    seconds = None if statement is None else seconds_of(statement.first)
    return (default, None) if seconds is None else (seconds, statement)


def connect_timeout(place: Place) -> tuple[float, Statement | None]:
    """The `proxy_connect_timeout` that holds in a location, in seconds, with its directive."""
    return _time(place, "proxy_connect_timeout", CONNECT)


def _is_for_calls(context: Context, place: Place) -> bool:
    """Whether the location upgrades every request, as one does that serves nothing but calls."""
    fields = {each.first.lower(): each for each in place.scope.all("proxy_set_header") if len(each.args) == 2}
    connection = fields.get("connection")
    return connection is not None and connection.args[1].lower() == "upgrade"
