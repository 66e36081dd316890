"""Resources of Istio and HTTPRoutes as a draft of routing.toml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splicer.config.values import format_duration
from splicer.importer.directive import ImportFault
from splicer.importer.draft import Draft
from splicer.importer.istio.context import Context, mark_meta
from splicer.importer.istio.destinations import destination_rules, service_entries
from splicer.importer.istio.gateway import gateways
from splicer.importer.istio.http_route import http_routes
from splicer.importer.istio.resources import Resource, resources
from splicer.importer.istio.virtual_service import HANDSHAKE, virtual_services
from splicer.importer.ledger import Ledger, Verdict
from splicer.importer.yaml_source import mark_rest

_TIMES = (
    "Istio has no deadline for an answer, and none for a silent call: [deadlines] gives a pod 1m for the head of its "
    "answer, and ends a call without a byte after 1h. Istio retries twice by itself; see retries."
)
_REFUSALS = "A pod that can't be reached is 502 or 504 here, and 503 with Istio."
_FILTER = (
    "a patch of Envoy's own configuration: if it chooses a pod by the URL, write a regex with (?<pod>…) and an "
    "upstream with {pod}; if it refuses requests, write authorize"
)
_LOST_KINDS: Mapping[str, str] = {
    "EnvoyFilter": _FILTER,
    "WasmPlugin": "splicer runs no WASM: if it refuses requests, write authorize",
    "AuthorizationPolicy": "write clients, clients_deny, methods, or have an authorizer decide (authorize)",
    "RequestAuthentication": "have an authorizer check the token (authorize), or the application",
    "PeerAuthentication": "it is for the sidecars of pods; splicer speaks plain HTTP to pods",
    "Sidecar": "it is for the sidecars of pods",
    "Telemetry": "splicer has a log, metrics and traces of its own",
    "GRPCRoute": "gRPC needs another proxy",
    "TLSRoute": "splicer is an HTTP proxy; TLS is passed on by another program",
    "TCPRoute": "splicer is an HTTP proxy",
    "UDPRoute": "splicer is an HTTP proxy",
    "ReferenceGrant": "whoever may write the file decides",
}
_GUARDS = ("AuthorizationPolicy", "RequestAuthentication")


def translate(files: Sequence[str], ledger: Ledger, *, namespace: str, domain: str) -> Draft:
    """Translate the resources of some files.

    Args:
        files: their names.
        ledger: gets every directive.
        namespace: of resources that name none.
        domain: of the cluster.

    Raises:
        ImportFault: a file can't be read, or a resource can't be what it says.
    """
    found = resources(files, namespace)
    draft = Draft(f"Made by splicer import istio {' '.join(files)}")
    context = Context(draft, ledger, domain)
    for resource in found:
        for each in resource.node.leaves():
            ledger.expect(each)
        mark_meta(ledger, resource)
    by_kind = _by_kind(found)
    service_entries(context, [*by_kind.get("ServiceEntry", []), *by_kind.get("Service", [])], draft)
    virtual_services(context, by_kind.get("VirtualService", []))
    http_routes(context, by_kind.get("HTTPRoute", []))
    if not draft.routes:
        raise ImportFault(
            files[0], None, "no VirtualService with rules for a gateway and no HTTPRoute is among the files"
        )
    destination_rules(context, by_kind.get("DestinationRule", []))
    gateways(context, by_kind.get("Gateway", []))
    _others(context, found, by_kind.get("Gateway", []))
    deadlines = draft.sections["deadlines"]
    for key in ("handshake", "attempts"):
        deadlines.put(key, format_duration(HANDSHAKE))
    draft.sections["limits"].put("body_bytes", "unlimited")
    ledger.notice(_TIMES)
    ledger.notice(_REFUSALS)
    return draft


def _by_kind(found: Sequence[Resource]) -> dict[str, list[Resource]]:
    kinds: dict[str, list[Resource]] = {}
    for resource in found:
        kinds.setdefault(resource.kind, []).append(resource)
    return kinds


def _others(context: Context, found: Sequence[Resource], gateways_: Sequence[Resource]) -> None:
    known = {"ServiceEntry", "Service", "VirtualService", "HTTPRoute", "DestinationRule", "Gateway"}
    for resource in found:
        if resource.kind in known:
            continue
        if (why := _LOST_KINDS.get(resource.kind)) is None:
            mark_rest(context.ledger, resource.node, Verdict.NO_NEED, "no resource of routing")
            continue
        body = {key: node for key, node in resource.node.items() if key not in ("apiVersion", "kind", "metadata")}
        for node in body.values():
            context.lost(node, why)
        if resource.kind in _GUARDS and _guards_the_edge(resource, gateways_):
            for route in context.draft.routes:
                route.closed.append(f"{resource.kind} {resource.name} could not be imported")


def _guards_the_edge(resource: Resource, gateways_: Sequence[Resource]) -> bool:
    """Whether a policy is for the pods of a gateway."""
    labels = {name: node.text for name, node in resource.spec.get("selector", "matchLabels").items()}
    refs = [*resource.spec.get("targetRefs").each(), resource.spec.get("targetRef")]
    if any(ref.get("kind").text == "Gateway" for ref in refs):
        return True
    selectors = [{name: node.text for name, node in each.spec.get("selector").items()} for each in gateways_]
    return bool(labels) and any(labels.items() <= selector.items() for selector in selectors)
