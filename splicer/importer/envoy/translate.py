"""A static configuration of Envoy as a draft of routing.toml."""

from __future__ import annotations

from collections.abc import Sequence

from splicer.config.values import format_duration
from splicer.importer.directive import ImportFault
from splicer.importer.draft import Draft
from splicer.importer.envoy.clusters import CONNECT, resolver
from splicer.importer.envoy.context import Context, check_types, leaf, mark_machinery, snake
from splicer.importer.envoy.filters import http_filters, network_filters
from splicer.importer.envoy.passing import add_listener, passes_through
from splicer.importer.envoy.routes import TIMEOUT, virtual_hosts
from splicer.importer.ledger import Ledger, Verdict
from splicer.importer.times import duration, seconds_of
from splicer.importer.tls import PROFILE, entry
from splicer.importer.yaml_source import Node, documents, mark_rest

IDLE = 300.0  # Envoy's default stream_idle_timeout, seconds
_KEEPALIVE = 3600.0
_XDS = "import reads static files: ask the control plane for them, or write the file from what it makes them of"
_RAW = (
    "Envoy matches the raw path unless normalize_path is on; splicer matches its normal form, and the pod gets the raw "
    "one."
)
_IDLE = (
    "Envoy's stream_idle_timeout is 5m by default, so a call without a byte for five minutes is closed, as before. If "
    'calls may be silent for longer, write idle = "1h".'
)
_REFUSALS = "A pod that can't be reached is 502 or 504 here, and 503 with Envoy."
_SECOND = (
    "splicer's routes hold on all of its addresses: import this listener from a file of its own, for a second splicer"
)


def translate(files: Sequence[str], ledger: Ledger) -> Draft:
    """Translate some files, which are read as one.

    Args:
        files: their names.
        ledger: gets every directive.

    Raises:
        ImportFault: a file can't be read, or Envoy would refuse it.
    """
    nodes = [snake(node) for file in files for node in documents(file)]
    if not nodes:
        raise ImportFault(files[0], None, "has no document")
    draft = Draft(f"Made by splicer import envoy {' '.join(files)}")
    context = Context(draft, ledger)
    for node in nodes:
        check_types(node)
        for each in node.leaves():
            ledger.expect(each)
    static = [_static(node) for node in nodes]
    for part in static:
        for cluster in part.get("clusters").each():
            name = cluster.get("name").text
            if name in context.clusters:
                raise cluster.fault(f"a second cluster {name!r}; the first is in line {context.clusters[name].line}")
            context.clusters[name] = cluster
    draft.sections["deadlines"].put("connect", format_duration(CONNECT))
    listeners = [listener for part in static for listener in part.get("listeners").each()]
    if not listeners:
        raise ImportFault(files[0], None, "has no static_resources.listeners; " + _XDS)
    _listeners(context, listeners)
    for node in nodes:
        _admin(context, node.get("admin"))
        for key in ("dynamic_resources", "hds_config", "xds_config_tracker_extension"):
            context.lost(node.get(key), _XDS)
    resolver(context)
    ledger.hold(draft.all_sources())
    _unused(context)
    for node in nodes:
        mark_machinery(ledger, node)
    for text in (_RAW, _REFUSALS):
        ledger.notice(text)
    return draft


def _static(node: Node) -> Node:
    return node.get("static_resources") if node.get("static_resources").is_there else node


def _unused(context: Context) -> None:
    for cluster in context.clusters.values():
        if not any(context.ledger.is_marked(each) for each in cluster.get("load_assignment").leaves()):
            mark_rest(context.ledger, cluster, Verdict.NO_NEED, "no imported route leads there")


def _listeners(context: Context, listeners: Sequence[Node]) -> None:
    found = False
    for listener in listeners:
        if passes_through(context, listener):
            continue
        managers = list(network_filters(context, listener))
        if not managers:
            context.lost(listener, "splicer is an HTTP proxy; other protocols are for another program")
            continue
        if found:
            context.lost(listener, _SECOND)
            continue
        found = True
        socket = listener.get("address", "socket_address")
        host, port = socket.get("address").text, socket.get("port_value").number()
        if port is None:
            raise listener.fault("has no address with a port: splicer listens on TCP ports alone")
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        proxied = [
            each for each in listener.get("listener_filters").each() if "proxy_protocol" in each.get("name").text
        ]
        secure = PROFILE if context.secure else None
        told = entry(address, proxy_protocol="required" if proxied else None, tls=secure)
        add_listener(context, told, socket)
        for manager in managers[1:]:
            context.lost(manager, "one filter chain is imported: splicer chooses by host, not by the TLS handshake")
        _manager(context, managers[0])
    if not found:
        raise listeners[0].fault("no listener has an http_connection_manager, so there is nothing to import")


def _manager(context: Context, hcm: Node) -> None:
    config = hcm.get("route_config")
    if not config.is_there:
        context.lost(hcm.get("rds"), _XDS)
        raise hcm.fault("has no route_config; " + _XDS)
    virtual_hosts(context, config, hcm)
    http_filters(context, hcm)
    _times(context, hcm)


def _times(context: Context, hcm: Node) -> None:
    deadlines, limits = context.draft.sections["deadlines"], context.draft.sections["limits"]
    idle = hcm.get("stream_idle_timeout")
    seconds = seconds_of(idle.text)
    if seconds is None and any(route.get("upgrade") for route in context.draft.routes):
        context.ledger.notice(_IDLE)
    for key in ("idle", "response_idle", "body_idle"):
        deadlines.put(key, duration(IDLE if seconds is None else seconds), *leaf(idle))
    for key in ("handshake", "attempts", "response"):
        deadlines.put(key, format_duration(TIMEOUT))
    head = hcm.get("request_headers_timeout")
    if (seconds := seconds_of(head.text)) is not None:
        deadlines.put("head", duration(seconds), *leaf(head))
    keep = hcm.get("common_http_protocol_options", "idle_timeout")
    seconds = seconds_of(keep.text)
    deadlines.put("keepalive", duration(_KEEPALIVE if seconds is None else seconds), *leaf(keep))
    limits.put("body_bytes", "unlimited")
    size = hcm.get("max_request_headers_kb")
    if (kibibytes := size.number()) is not None:
        limits.put("head_bytes", f"{min(kibibytes, 64)}KiB", *leaf(size))
    mark_rest(
        context.ledger, hcm.get("request_timeout"), Verdict.LOST, "deadlines.body_idle and handshake end a slow request"
    )


def _admin(context: Context, admin: Node) -> None:
    socket = admin.get("address", "socket_address")
    if not admin.is_there:
        return
    host, port = socket.get("address").text, socket.get("port_value").number()
    if port is None:
        context.lost(admin, "splicer's admin address is a TCP one: see server.admin")
        return
    context.draft.sections["server"].put(
        "admin", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", *leaf(socket)
    )
    context.differs(socket, "its pages are splicer's own: /metrics, /config, /tunnels (docs/admin-api.md)")
    mark_rest(context.ledger, admin, Verdict.NO_NEED, "splicer's admin address keeps no log of its own")
