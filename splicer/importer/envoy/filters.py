"""Filters: of a listener, and of its connection manager."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from splicer.importer.draft import RouteDraft, upstreams_of
from splicer.importer.envoy.clusters import lead_to
from splicer.importer.envoy.context import Context, leaf
from splicer.importer.envoy.guards import GUARDS
from splicer.importer.envoy.tls import downstream
from splicer.importer.ledger import Verdict
from splicer.importer.yaml_source import Node, mark_rest

_HCM = "http_connection_manager"
_ROUTER = "envoy.filters.http.router"
_LOST: Mapping[str, str] = {
    "lua": "splicer runs no scripts of Envoy's: for refusals write authorize, for a choice of pods {captures}",
    "wasm": "splicer runs no WASM: if it refuses requests, write authorize",
    "golang": "splicer runs no plug-ins of Envoy's",
    "ratelimit": "write rate_limit on the routes",
    "local_ratelimit": "write rate_limit on the routes",
    "fault": "splicer injects no faults",
    "compressor": "splicer compresses nothing; have the application or the load balancer do it",
    "decompressor": "splicer changes no bodies",
    "dynamic_forward_proxy": 'write an upstream with a capture: "{pod}.service.namespace.svc.cluster.local:8000"',
    "cors": "splicer does no CORS: have the pod send the fields, or response_headers",
    "buffer": "bodies are streamed; limits.body_bytes bounds them",
    "grpc_web": "gRPC needs another proxy",
    "health_check": "write a route with respond = { status = 200, draining = { status = 503 } }",
    "header_to_metadata": "splicer has no metadata",
    "tap": "splicer taps nothing",
    "cache": "splicer caches no answers",
}


def network_filters(context: Context, listener: Node) -> Iterator[Node]:
    """The connection managers of a listener; what else it has gets its verdict."""
    for each in listener.get("listener_filters").each():
        kind = each.get("name").text
        if "tls_inspector" in kind or "http_inspector" in kind or "original_dst" in kind:
            mark_rest(context.ledger, each, Verdict.NO_NEED, "splicer looks at HTTP itself")
        elif "proxy_protocol" in kind:
            context.lost(each.get("typed_config", "allow_requests_without_proxy_protocol"), "name networks instead")
            mark_rest(context.ledger, each, Verdict.CARRIED, "in server.listen")
        else:
            context.lost(each, "there is no counterpart")
    for chain in (*listener.get("filter_chains").each(), listener.get("default_filter_chain")):
        if chain.get("transport_socket").is_there and _has_http(chain):
            secure = downstream(context, chain.get("transport_socket"))
            if not secure and chain.get("transport_socket", "typed_config", "require_client_certificate").is_true:
                context.closed.append("clients had to show a certificate")
            context.secure |= secure
        if chain.get("filter_chain_match").is_there:
            context.lost(chain.get("filter_chain_match"), "splicer chooses by host: write hosts on the routes")
        for each in chain.get("filters").each():
            config = each.get("typed_config")
            if config.get("@type").text.endswith(".HttpConnectionManager"):
                yield config
            elif each.is_there:
                context.lost(each, "splicer is an HTTP proxy; other protocols are for another program")
                _protecting(context, each.get("name").text, each.get("typed_config", "@type").text)


def _has_http(chain: Node) -> bool:
    kinds = [each.get("typed_config", "@type").text for each in chain.get("filters").each()]
    return any(kind.endswith(".HttpConnectionManager") for kind in kinds)


def _protecting(context: Context, *words: str) -> None:
    """A network filter that protects what comes after it."""
    if any(guard in word for guard in (*GUARDS, "client_ssl_auth") for word in words):
        context.closed.append(f"{words[0]} could not be imported")


def http_filters(context: Context, hcm: Node) -> None:
    """The filters of a connection manager; one that protects routes and can't be carried closes them all."""
    for route in context.draft.routes:
        route.closed += context.closed
    for each in hcm.get("http_filters").each():
        name = each.get("name").text
        kind = (
            each.get("typed_config", "@type").text.rpartition(".v3.")[0].rpartition(".")[2] or name.rpartition(".")[2]
        )
        if name == _ROUTER or kind == "router":
            mark_rest(context.ledger, each, Verdict.DEFAULT, "routing is what splicer does")
        elif kind == "ext_authz" and _authorize(context, each.get("typed_config")):
            mark_rest(context.ledger, each, Verdict.DIFFERS, "see its cluster")
        elif kind in GUARDS:
            context.lost(each, GUARDS[kind])
            for route in context.draft.routes:
                route.closed.append(f"{name} could not be imported")
        else:
            context.lost(each, _LOST.get(kind, "there is no counterpart"))


def _authorize(context: Context, config: Node) -> bool:
    """`ext_authz` over HTTP, for all routes that have an upstream; whether it could be carried."""
    service = config.get("http_service")
    cluster = service.get("server_uri", "cluster")
    if not cluster.is_there or not context.draft.routes:
        return False
    scratch = RouteDraft()
    lead_to(context, scratch, cluster)
    upstream = next(upstreams_of(scratch), None)
    if upstream is None:
        return False
    prefix = service.get("path_prefix")
    for route in context.draft.routes:
        if next(upstreams_of(route), None) is not None:
            route.put(("authorize", "upstream"), upstream, *leaf(cluster))
            route.put(("authorize", "path"), prefix.text or "/", *leaf(prefix))
    context.differs(
        cluster,
        "the question is GET PREFIX, with X-Original-Method and X-Original-URI, not the request's own path",
    )
    return True
