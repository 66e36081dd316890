"""Gateways, of Istio and of the Gateway API: listeners, and their certificates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import Factory, define

from splicer.importer.directive import Directive
from splicer.importer.draft import free_name
from splicer.importer.istio.context import Context, leaf
from splicer.importer.istio.resources import Resource
from splicer.importer.ledger import Verdict
from splicer.importer.tls import PROFILE, TO_HTTPS, add_certificate, entry, only_by_https, profile_of
from splicer.importer.yaml_source import Node, mark_rest

_NOT_HTTP = "splicer is an HTTP proxy; other protocols are for another program"
_MOUNT = "mount Secret {secret} at {folder}"
_FOLDER = "/certs/{}"
_CLIENTS = {"SIMPLE": "", "TERMINATE": "", "": "", "MUTUAL": "require", "OPTIONAL_MUTUAL": "request"}
_CLOSED = "clients had to show a certificate"


@define
class _Listeners:
    """What is found of all gateways: addresses with their profile, and where http is sent to https."""

    found: dict[str, tuple[str | None, list[Directive]]] = Factory(dict)
    redirects: list[tuple[Node, list[str]]] = Factory(list)
    passing: dict[str, list[Directive]] = Factory(dict)


def gateways(context: Context, resources: Sequence[Resource]) -> None:
    """The listeners of all gateways.

    Args:
        context: gets `server.listen`, profiles, and routes that redirect to https.
        resources: the gateways.
    """
    listeners = _Listeners()
    for gateway in resources:
        spec = gateway.spec
        context.give(spec.get("selector"), Verdict.NO_NEED, "splicer is the gateway")
        context.give(spec.get("gatewayClassName"), Verdict.NO_NEED, "splicer is the gateway")
        for server in (*spec.get("servers").each(), *spec.get("listeners").each()):
            _server(context, server, listeners)
        context.lost(spec.get("addresses"), "a Service in front of splicer has the address")
        context.give(spec.get("infrastructure"), Verdict.NO_NEED, "it is for the controller that makes gateways")
    for redirect, hosts in listeners.redirects:
        _to_https(context, redirect, hosts)
    told: list[Any] = [
        entry(address, tls=name, passthrough=address in listeners.passing)
        for address, (name, _) in listeners.found.items()
    ]
    told += [entry(address, passthrough=True) for address in listeners.passing if address not in listeners.found]
    if told:
        sources = [source for _, those in listeners.found.values() for source in those]
        sources += [source for those in listeners.passing.values() for source in those]
        context.draft.sections["server"].put("listen", told[0] if len(told) == 1 else told, *sources)


def _server(context: Context, server: Node, listeners: _Listeners) -> None:
    port = server.get("port", "number") if server.get("port", "number").is_there else server.get("port")
    protocol = server.get("port", "protocol") if server.get("port", "protocol").is_there else server.get("protocol")
    for key in (("name",), ("port", "name")):
        mark_rest(context.ledger, server.get(*key), Verdict.NO_NEED, "a name of its own")
    mark_rest(context.ledger, server.get("allowedRoutes"), Verdict.NO_NEED, "who may write the file decides")
    hosts = [*server.get("hosts").each(), *([server.get("hostname")] if server.get("hostname").is_there else [])]
    for host in hosts:
        context.give(host, Verdict.DEFAULT, "routes have the hosts; a Host that no route has gets 404")
    word, bind = protocol.text.upper(), server.get("bind")
    address = f"{bind.text or '0.0.0.0'}:{port.number()}"  # noqa: S104 - as a gateway does
    sources = [*leaf(port), *leaf(bind), *leaf(protocol)]
    if word in ("HTTPS", "TLS") and server.get("tls", "mode").text.upper() == "PASSTHROUGH":
        listeners.passing.setdefault(address, []).extend([*sources, *leaf(server.get("tls"))])
    elif word in ("HTTPS", "TLS"):
        name = _profile(context, server.get("tls"), port)
        if name is not None:
            listeners.found.setdefault(address, (name, []))[1].extend(sources)
        else:
            for source in sources:
                context.ledger.lost(source, "its TLS could not be carried, so nobody listens there")
    elif word in ("HTTP", "HTTP2"):
        listeners.found.setdefault(address, (None, []))[1].extend(sources)
        if word == "HTTP2":
            context.differs(protocol, "clients are spoken to in HTTP/1.1; a load balancer in front may speak HTTP/2")
        if server.get("tls", "httpsRedirect").is_true:
            names = [host.text.rpartition("/")[2] for host in hosts]
            listeners.redirects.append((server.get("tls", "httpsRedirect"), [name for name in names if name != "*"]))
        for other, node in server.get("tls").items():
            if other != "httpsRedirect":
                context.lost(node, "a listener of plain HTTP has no certificates")
    else:
        context.lost(server, _NOT_HTTP)


def _profile(context: Context, tls: Node, port: Node) -> str | None:
    """The profile of a TLS listener; None: it can't be carried."""
    mode = tls.get("mode").text.upper()
    if mode not in _CLIENTS:
        context.lost(tls, "it is TLS within the mesh")
        if "MUTUAL" in mode:
            _close(context)
        return None
    name = PROFILE if not context.draft.tls else f"{PROFILE}-{port.number()}"
    profile = profile_of(context.draft, name, f"{tls.file}:{tls.line}")
    secrets = [tls.get("credentialName"), *[each.get("name") for each in tls.get("certificateRefs").each()]]
    folder = ""
    for secret in (each for each in secrets if each.text):
        folder = _FOLDER.format(secret.text)
        add_certificate(profile, folder, *leaf(secret))
        context.differs(secret, _MOUNT.format(secret=secret.text, folder=folder))
    chain, key = tls.get("serverCertificate"), tls.get("privateKey")
    if chain.text and key.text:
        add_certificate(profile, {"chain": chain.text, "key": key.text}, *leaf(chain), *leaf(key))
    profile.put("unknown_name", "first")
    if (clients := _CLIENTS[mode]) != "":
        authorities = tls.get("caCertificates")
        profile.put("client_certificate", clients, *leaf(tls.get("mode")))
        profile.put("client_ca", authorities.text or f"{folder or '/certs'}/ca.crt", *leaf(authorities))
    if tls.get("minProtocolVersion").text == "TLSV1_3":
        profile.put("min_version", "1.3", *leaf(tls.get("minProtocolVersion")))
    context.ledger.hold(profile.all_sources())
    mark_rest(context.ledger, tls.get("mode"), Verdict.DEFAULT, "TLS ends here")
    for each in tls.get("certificateRefs").each():
        mark_rest(context.ledger, each, Verdict.NO_NEED, "it is a Secret")
    mark_rest(context.ledger, tls, Verdict.LOST, "there is no counterpart; see [tls.NAME] in docs/configuration.md")
    return name


def _close(context: Context) -> None:
    for route in context.draft.routes:
        route.closed.append(_CLOSED)


def _to_https(context: Context, redirect: Node, hosts: list[str]) -> None:
    if not context.draft.tls or not hosts:
        context.lost(redirect, TO_HTTPS)
        return
    route = context.route("to-https", redirect)
    route.put("prefix", "/", *leaf(redirect))
    route.put("hosts", hosts)
    route.put("redirect", {"to": "https://{host}{target}", "status": 301}, *leaf(redirect))
    only_by_https(context.draft, route, free_name("plain-http", context.names))
