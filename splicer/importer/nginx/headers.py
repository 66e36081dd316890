"""`proxy_set_header` and `add_header`: what is default, and what becomes `request_headers` and `response_headers`."""

from __future__ import annotations

from collections.abc import Mapping

from splicer.importer.ledger import Verdict
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.proxy import Target
from splicer.importer.nginx.source import Statement
from splicer.importer.nginx.values import Variable, as_template, as_value

_OWN = "the edge sends it to every pod"
_FROM_PROXIES = "the scheme and the client that a proxy in front reports are believed from server.trusted_proxies alone"
_USUAL: Mapping[str, Mapping[str, str]] = {
    "host": {
        "$host": "pods get the client's Host, port included",
        "$http_host": "pods get the client's Host",
        "$host:$server_port": "pods get the client's Host, port included",
    },
    "x-real-ip": {"$remote_addr": _OWN, "$realip_remote_addr": _OWN, "$proxy_protocol_addr": _OWN},
    "x-forwarded-for": {
        "$proxy_add_x_forwarded_for": _OWN,
        "$remote_addr": _OWN,
        "$proxy_protocol_addr": _OWN,
    },
    "x-forwarded-proto": {"$scheme": _OWN},
    "x-forwarded-scheme": {"$scheme": "X-Forwarded-Proto says it"},
    "x-forwarded-host": {"$host": _OWN, "$http_host": _OWN},
    "x-request-id": {"$request_id": _OWN},
    "x-original-uri": {"$request_uri": "pods get it where the path is rewritten"},
}
_DIFFERENT: Mapping[str, Mapping[str, str]] = {
    "x-forwarded-proto": {"$http_x_forwarded_proto": _FROM_PROXIES},
    "x-forwarded-for": {"$http_x_forwarded_for": _FROM_PROXIES},
    "x-real-ip": {
        "$http_x_forwarded_for": _FROM_PROXIES,
        "$http_x_real_ip": _FROM_PROXIES,
    },
}
_UNDEFINED = "nginx's Host would be that of proxy_pass, for no proxy_set_header Host is there"


def request_headers(context: Context, place: Place, target: Target | None) -> None:
    """What a pod gets.

    Args:
        context: gets the verdicts.
        place: the location; its route gets `upgrade`, `host` and `request_headers`.
        target: of its `proxy_pass`.
    """
    fields = {each.first.lower(): each for each in place.scope.all("proxy_set_header") if len(each.args) == 2}
    upgrade, connection = fields.pop("upgrade", None), fields.pop("connection", None)
    if upgrade is not None:
        _upgrade(context, place, upgrade, connection)
    elif connection is not None:
        _connection(context, connection)
    if "host" not in fields and target is not None:
        _undefined_host(place, target)
    for name, field in fields.items():
        _request_header(context, place, name, field)


def _upgrade(context: Context, place: Place, upgrade: Statement, connection: Statement | None) -> None:
    if upgrade.args[1].lower() not in ("$http_upgrade", "websocket", "$upgrade"):
        context.ledger.lost(upgrade, "splicer asks for the client's own protocol, if the route's upgrade has it")
        return
    if connection is None:
        context.ledger.mark(upgrade, Verdict.NO_NEED, "without a Connection field nginx upgrades nothing")
        return
    place.route.put("upgrade", ["websocket"], upgrade, connection)
    if connection.args[1].lower() == "upgrade":
        context.ledger.differs(connection, "a plain request is not sent as an upgrade")
    elif connection.args[1].strip("$") not in context.connection_maps | {"http_connection"}:
        context.ledger.differs(connection, "splicer writes Connection itself")


def _connection(context: Context, connection: Statement) -> None:
    if connection.args[1] in ("", "keep-alive"):
        context.ledger.mark(connection, Verdict.DEFAULT, "connections to pods are kept")
    else:
        context.ledger.differs(connection, "splicer writes Connection itself, and keeps connections to pods")


def _undefined_host(place: Place, target: Target) -> None:
    host = as_template(target.host, place.captures)
    if host is not None:
        place.route.put("host", host.removesuffix(":80"), target.statement)
        if _UNDEFINED not in place.route.comments:
            place.route.comments.append(_UNDEFINED)


def _request_header(context: Context, place: Place, name: str, field: Statement) -> None:
    word = field.args[1]
    if (why := _USUAL.get(name, {}).get(word)) is not None:
        context.ledger.mark(field, Verdict.DEFAULT, why)
        return
    if (why := _DIFFERENT.get(name, {}).get(word)) is not None:
        context.ledger.differs(field, why)
        return
    parts = place.parts(word)
    value = as_value(parts, place.captures)
    if value is None:
        odd = ", ".join(f"${part.name}" for part in parts if isinstance(part, Variable))
        context.ledger.lost(field, f"there is no counterpart of {odd} in request_headers")
    elif name == "host":
        place.route.put("host", value, field)
    else:
        place.route.put(("request_headers", field.first), value or False, field)


def response_headers(context: Context, place: Place) -> None:
    """What a client gets; `add_header` and `proxy_hide_header` of a location."""
    for field in place.scope.all("add_header"):
        name, word, *always = (*field.args, "")[: max(3, len(field.args))]
        value = as_value(place.parts(word), place.captures)
        if value is None:
            context.ledger.lost(field, "there is no counterpart of its variables in response_headers")
        elif name.lower() == "content-type" and place.route.get("respond", "status") is not None:
            place.route.put(("respond", "content_type"), value, field)
            context.ledger.differs(
                field, "the answer has this Content-Type alone; nginx sends that of default_type too"
            )
        elif value:
            place.route.put(("response_headers", name), value, field)
            if "always" not in always:
                context.ledger.differs(field, "every answer gets it, not only 200, 201, 204, 206 and 3xx")
        else:
            context.ledger.mark(field, Verdict.NO_NEED, "nginx sends no empty header")
    for field in place.scope.all("proxy_hide_header"):
        place.route.put(("response_headers", field.first), False, field)
