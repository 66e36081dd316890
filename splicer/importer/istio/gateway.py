"""Gateways, of Istio and of the Gateway API: listeners."""

from __future__ import annotations

from collections.abc import Sequence

from splicer.importer.directive import Directive
from splicer.importer.istio.context import Context, leaf
from splicer.importer.istio.resources import Resource
from splicer.importer.ledger import Verdict
from splicer.importer.yaml_source import Node, mark_rest

_TLS = (
    "splicer ends no TLS here: have the load balancer in front end it, name it in server.trusted_proxies, and give "
    "it Secret {secret}"
)
_TO_HTTPS = (
    'write a route with scheme = "http", hosts and redirect = { to = "https://{host}{target}", status = 301 } above '
    "the others, when server.trusted_proxies names the load balancer that says by which scheme a client came"
)
_NOT_HTTP = "splicer is an HTTP proxy; other protocols are for another program"


def gateways(context: Context, found: Sequence[Resource]) -> None:
    """The listeners of all gateways.

    Args:
        context: gets `server.listen`, and routes that redirect to https.
        found: the resources.
    """
    listen: dict[str, list[Directive]] = {}
    for gateway in found:
        spec = gateway.spec
        context.give(spec.get("selector"), Verdict.NO_NEED, "splicer is the gateway")
        context.give(spec.get("gatewayClassName"), Verdict.NO_NEED, "splicer is the gateway")
        for server in (*spec.get("servers").each(), *spec.get("listeners").each()):
            _server(context, server, listen)
        context.lost(spec.get("addresses"), "a Service in front of splicer has the address")
        context.give(spec.get("infrastructure"), Verdict.NO_NEED, "it is for the controller that makes gateways")
    if listen:
        addresses = list(listen)
        sources = [source for those in listen.values() for source in those]
        context.draft.sections["server"].put("listen", addresses[0] if len(addresses) == 1 else addresses, *sources)


def _server(context: Context, server: Node, listen: dict[str, list[Directive]]) -> None:
    port = server.get("port", "number") if server.get("port", "number").is_there else server.get("port")
    protocol = server.get("port", "protocol") if server.get("port", "protocol").is_there else server.get("protocol")
    tls = server.get("tls")
    for key in ("name", "port.name"):
        mark_rest(context.ledger, server.get(*key.split(".")), Verdict.NO_NEED, "a name of its own")
    mark_rest(context.ledger, server.get("allowedRoutes"), Verdict.NO_NEED, "who may write the file decides")
    hosts = [*server.get("hosts").each(), *([server.get("hostname")] if server.get("hostname").is_there else [])]
    for host in hosts:
        context.give(host, Verdict.DEFAULT, "routes have the hosts; a Host that no route has gets 404")
    if protocol.text.upper() in ("HTTPS", "TLS"):
        secret = tls.get("credentialName").text or tls.get("certificateRefs").path or "?"
        for node in (port, protocol, tls):
            context.lost(node, _TLS.format(secret=secret))
        if "MUTUAL" in tls.get("mode").text:
            for route in context.draft.routes:
                route.closed.append("clients had to show a certificate")
        return
    if protocol.text.upper() not in ("HTTP", "HTTP2", "GRPC", "GRPC-WEB"):
        context.lost(server, _NOT_HTTP)
        return
    if protocol.text.upper() != "HTTP":
        context.lost(protocol, "clients are spoken to in HTTP/1.1; a load balancer in front may speak HTTP/2")
    else:
        context.give(protocol, Verdict.DEFAULT, "clients are spoken to in HTTP/1.1")
    bind = server.get("bind")
    address = f"{bind.text or '0.0.0.0'}:{port.number()}"  # noqa: S104 - as a gateway does
    listen.setdefault(address, []).extend([*leaf(port), *leaf(bind)])
    redirect = tls.get("httpsRedirect")
    if redirect.is_true:
        context.lost(redirect, _TO_HTTPS)
    elif tls.is_there:
        context.lost(tls, _TLS.format(secret=tls.get("credentialName").text or "?"))
