"""What all parts of a translation share, and the marks of what Envoy has for itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import Factory, define

from splicer.importer.directive import Directive
from splicer.importer.draft import Draft
from splicer.importer.ledger import Ledger, Verdict
from splicer.importer.yaml_source import Node, mark, mark_rest

_CAMEL = re.compile(r"(?<=[a-z0-9])[A-Z]")
_TYPE = re.compile(r"type\.googleapis\.com/(envoy|xds|udpa)\.[A-Za-z0-9_.]+\.(v3|v1)\.[A-Za-z0-9]+")

NO_NEED: Mapping[str, str] = {
    **dict.fromkeys(
        ("stat_prefix", "alt_stat_name", "virtual_clusters", "response_flags"), "splicer names its metrics by route"
    ),
    **dict.fromkeys(("name", "cluster_name", "id", "cluster", "locality", "priority"), "a name of Envoy's own"),
    **dict.fromkeys(("@type",), "it says what the table is"),
    **dict.fromkeys(
        ("node", "layered_runtime", "overload_manager", "stats_config", "stats_sinks", "watchdogs"), "Envoy's own"
    ),
    **dict.fromkeys(("per_connection_buffer_limit_bytes", "typed_dns_resolver_config", "concurrency"), "Envoy's own"),
    **dict.fromkeys(
        ("enable_reuse_port", "reuse_port", "traffic_direction", "deprecated_v1"), "splicer sets its sockets itself"
    ),
    **dict.fromkeys(("drain_type", "drain_timeout"), "deadlines.drain says how long calls may finish"),
    **dict.fromkeys(("validate_clusters", "ignore_health_on_host_removal"), "a file is checked as a whole"),
}
DEFAULT: Mapping[tuple[str, str], str] = {
    ("codec_type", "AUTO"): "clients are spoken to in HTTP/1.1",
    ("codec_type", "HTTP1"): "clients are spoken to in HTTP/1.1",
    ("generate_request_id", "true"): "X-Request-ID is always there",
    ("use_remote_address", "true"): "the address that connects is the client's, unless it is one of trusted_proxies",
    ("normalize_path", "true"): "the path is normalised for matching; the pod gets the client's",
    ("merge_slashes", "true"): "slashes are merged for matching; the pod gets the client's",
    ("respect_dns_ttl", "true"): "the TTL of an answer counts, up to resolver.max_ttl",
    ("enabled", "true"): "",
    ("protocol", "TCP"): "",
    ("server_header_transformation", "PASS_THROUGH"): "a pod's Server is passed on",
}
DIFFERS: Mapping[str, str] = {
    "http_protocol_options": "splicer takes HTTP/1.0 and HTTP/1.1",
    "access_log": "splicer logs one JSON object for each exchange",
    "codec_type": "clients are spoken to in HTTP/1.1; a load balancer in front may speak HTTP/2",
    "server_name": "splicer sends no Server of its own",
    "server_header_transformation": "a pod's Server is passed on",
    "xff_num_trusted_hops": "name the proxies in front in server.trusted_proxies",
    "use_remote_address": "name the proxies in front in server.trusted_proxies",
    "skip_xff_append": "pods always get X-Forwarded-For",
    "preserve_external_request_id": "an X-Request-ID is believed from server.trusted_proxies alone",
    "path_with_escaped_slashes_action": "encoded_slash of a route says what becomes of %2F",
    "dns_lookup_family": "resolver.ipv6 is one for the whole edge",
}
LOST: Mapping[str, str] = {
    "local_reply_config": "write [[errors]] with the bodies of refusals",
    "tracing": "see tracing in docs/configuration.md",
    "http2_protocol_options": "clients are spoken to in HTTP/1.1; a load balancer in front may speak HTTP/2",
    "original_ip_detection_extensions": "name the proxies in front in server.trusted_proxies",
    "max_connection_duration": "deadlines.keepalive ends an idle connection, deadlines.lifetime a call",
    "max_stream_duration": "deadlines.lifetime is for a call, deadlines.response for an answer",
    "max_requests_per_connection": "a client's connection ends by deadlines.keepalive alone",
    "forward_client_cert_details": "splicer sees no client's certificate here",
    "require_tls": 'write a route with scheme = "http" and redirect, when server.trusted_proxies names who ends TLS',
    "strip_matching_host_port": "pods get the client's Host, port included; hosts are compared without",
    "strip_any_host_port": "pods get the client's Host, port included; hosts are compared without",
    "additional_addresses": "write them into server.listen",
    "rds": "import reads static files",
    "scoped_routes": "import reads static files",
    "secrets": "import reads no certificates",
}


@define(eq=False)
class Context:
    """A translation under way.

    Args:
        draft: the routing.toml.
        ledger: the verdicts.
        clusters: by name.
        names: the route names that are taken.
        secure: whether clients of the listener come by TLS, which ends here.
        closed: why no route may be served: what protected all of them could not be carried.
    """

    draft: Draft
    ledger: Ledger
    clusters: dict[str, Node] = Factory(dict)
    names: set[str] = Factory(set)
    closed: list[str] = Factory(list)
    secure: bool = False

    def lost(self, node: Node, note: str) -> None:
        """Nothing of a node is carried."""
        if node.is_there:
            mark(self.ledger, node, Verdict.LOST, note)

    def differs(self, node: Node, note: str) -> None:
        """A node is carried, with this difference, which its first directive tells."""
        for first in list(node.leaves())[:1]:
            self.ledger.differs(first, note)

    def default(self, node: Node, note: str) -> None:
        """Splicer does what a node says anyway."""
        mark(self.ledger, node, Verdict.DEFAULT, note)


def leaf(node: Node) -> list[Directive]:
    """The directives of a node, as sources of a key."""
    return list(node.leaves())


def snake(node: Node) -> Node:
    """The same node with all keys as protobuf's text has them: its JSON also has ``camelCase``."""
    stack = [node]
    while stack:
        each = stack.pop()
        if isinstance(each.value, dict):
            each.value = {
                _CAMEL.sub(lambda found: f"_{found[0].lower()}", key): item for key, item in each.value.items()
            }
            stack += each.value.values()
        elif isinstance(each.value, list):
            stack += each.value
    return node


def check_types(node: Node) -> None:
    """Have every ``@type`` be one of API v3.

    Raises:
        ImportFault: there is another one.
    """
    stack = [node]
    while stack:
        each = stack.pop()
        kind = each.get("@type")
        if kind.is_there and not _TYPE.fullmatch(kind.text):
            raise kind.fault(f"{kind.text!r} is no type of Envoy's API v3; write type.googleapis.com/envoy.….v3.Name")
        if isinstance(each.value, dict | list):
            stack += each.value.values() if isinstance(each.value, dict) else each.value


def mark_machinery(ledger: Ledger, node: Node) -> None:
    """Give a verdict to each directive without one that Envoy has for itself, or that splicer does anyway."""
    stack = [node]
    while stack:
        each = stack.pop()
        for key, item in each.items():
            why = DEFAULT.get((key, item.text)) if item.leaf is not None else None
            if why is not None:
                mark_rest(ledger, item, Verdict.DEFAULT, why)
            elif key in DIFFERS:
                mark_rest(ledger, item, Verdict.DIFFERS, DIFFERS[key])
            elif key in LOST:
                mark_rest(ledger, item, Verdict.LOST, LOST[key])
            elif key in NO_NEED:
                mark_rest(ledger, item, Verdict.NO_NEED, NO_NEED[key])
            else:
                stack.append(item)
        stack += each.each()
