"""What becomes of Envoy's fields; the facts are of Envoy 1.40, which `tests/parity` asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from splicer.importer.directive import ImportFault
from splicer.importer.ledger import Verdict
from tests.importer.kit import Result, run

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
TO_APP = {"cluster": "app"}


def cluster(name: str, *endpoints: tuple[str, int], **more: Any) -> dict[str, Any]:
    places = [{"endpoint": {"address": {"socket_address": {"address": a, "port_value": p}}}} for a, p in endpoints]
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": places}]}
    return {"name": name, "type": "STRICT_DNS", "load_assignment": assignment, **more}


def config(*routes: dict[str, Any], clusters: list[dict[str, Any]] | None = None, **hcm: Any) -> str:
    manager = {
        "@type": _HCM,
        "stat_prefix": "x",
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": list(routes)}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
        **hcm,
    }
    listener = {
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 8080}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    static = {"listeners": [listener], "clusters": clusters or [cluster("app", ("app.x", 80))]}
    text: str = yaml.safe_dump({"static_resources": static}, sort_keys=False)
    return text


def one(directory: Path, match: dict[str, Any], action: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    action = action or {"route": TO_APP}
    [route] = run("envoy", config({"match": match, **action}, **more), directory).routes
    return route


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"path": "/a"}, {"path": "/a"}),
        ({"prefix": "/a"}, {"prefix": "/a"}),
        ({"path_separated_prefix": "/a"}, {"regex": "^/a(?:/|$)"}),
        ({"pathSeparatedPrefix": "/a"}, {"regex": "^/a(?:/|$)"}),
        ({"safe_regex": {"regex": "/a|/b"}}, {"regex": "^(?:/a|/b)$"}),
        ({"safe_regex": {"regex": "^/a.*$"}}, {"regex": "^/a.*$"}),
        ({"prefix": "/a.b", "case_sensitive": False}, {"regex": "(?i)^/a\\.b"}),
    ],
)
def test_patterns(tmp_path: Path, match: dict[str, Any], expected: dict[str, str]) -> None:
    route = one(tmp_path, match)
    assert {key: route[key] for key in ("path", "prefix", "regex") if key in route} == expected


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        ({"string_match": {"exact": "1"}}, "1"),
        ({"string_match": {"prefix": "a"}}, {"prefix": "a"}),
        ({"string_match": {"suffix": ".b"}}, {"regex": "\\.b$"}),
        ({"string_match": {"contains": "c", "ignore_case": True}}, {"regex": "(?i)c"}),
        ({"string_match": {"safe_regex": {"regex": "a|b"}}}, {"regex": "^(?:a|b)$"}),
        ({"exact_match": "1"}, "1"),
        ({"present_match": True}, True),
        ({"present_match": True, "invert_match": True}, False),
        ({}, True),
    ],
)
def test_header_conditions(tmp_path: Path, matcher: dict[str, Any], expected: object) -> None:
    assert one(tmp_path, {"prefix": "/", "headers": [{"name": "x-a", **matcher}]})["headers"] == {"x-a": expected}


def test_a_condition_without_a_counterpart_closes_its_route(tmp_path: Path) -> None:
    match = {"prefix": "/", "headers": [{"name": "x-a", "string_match": {"exact": "1"}, "invert_match": True}]}
    assert one(tmp_path, match)["respond"]["status"] == 503


def test_pseudo_headers_are_keys_of_their_own(tmp_path: Path) -> None:
    headers = [
        {"name": name, "exact_match": value}
        for name, value in ((":method", "POST"), (":authority", "a.x:80"), (":scheme", "https"))
    ]
    route = one(tmp_path, {"prefix": "/", "headers": headers})
    assert (route["methods"], route["hosts"], route["scheme"]) == (["POST"], ["a.x"], "https")


@pytest.mark.parametrize(
    ("match", "rewrite", "expected"),
    [
        ({"prefix": "/a/"}, {"prefix_rewrite": "/"}, {"prefix": "/a/", "strip_prefix": True}),
        ({"prefix": "/a"}, {"prefix_rewrite": "/"}, {"regex": "^/a(?<rest>.*)$", "rewrite": "/{rest}"}),
        ({"prefix": "/a/"}, {"prefix_rewrite": "/b"}, {"regex": "^/a/(?<rest>.*)$", "rewrite": "/b{rest}"}),
        ({"path": "/a"}, {"prefix_rewrite": "/b"}, {"path": "/a", "rewrite": "/b"}),
        ({"safe_regex": {"regex": "/a.*"}}, {"prefix_rewrite": "/b"}, {"regex": "^(?:/a.*)$", "rewrite": "/b"}),
        (
            {"prefix": "/"},
            {"regex_rewrite": {"pattern": {"regex": "^/x/([^/]+)/(.*)$"}, "substitution": "/\\2/{\\1}"}},
            {"regex": "^/x/(?<p1>[^/]+)/(?<p2>.*)$", "rewrite": "/{p2}/{{{p1}}}"},
        ),
    ],
)
def test_rewrites(tmp_path: Path, match: dict[str, Any], rewrite: dict[str, Any], expected: dict[str, Any]) -> None:
    route = one(tmp_path, match, {"route": {**TO_APP, **rewrite}})
    assert {
        key: route[key] for key in ("path", "prefix", "regex", "rewrite", "strip_prefix") if key in route
    } == expected


def test_answers(tmp_path: Path) -> None:
    direct = {"direct_response": {"status": 200, "body": {"inline_string": "ok\n"}}}
    assert one(tmp_path, {"path": "/a"}, direct)["respond"] == {
        "status": 200,
        "body": "ok\n",
        "content_type": "text/plain",
    }
    coded = {"direct_response": {"status": 200, "body": {"inline_bytes": "b2s="}}}
    assert one(tmp_path, {"path": "/a"}, coded)["respond"]["body"] == "ok"
    moved = {"redirect": {"prefix_rewrite": "/b/", "response_code": "FOUND"}}
    assert one(tmp_path, {"prefix": "/a/"}, moved)["redirect"] == {"to": "/b/{rest}?{query}", "status": 302}
    away = {"redirect": {"https_redirect": True, "host_redirect": "b.x", "path_redirect": "/c", "strip_query": True}}
    assert one(tmp_path, {"prefix": "/a/"}, away)["redirect"] == {"to": "https://b.x/c", "status": 301}
    anywhere = {"redirect": {"https_redirect": True}}
    assert one(tmp_path, {"prefix": "/a/"}, anywhere)["respond"]["status"] == 503  # {host} needs hosts


def test_timeouts(tmp_path: Path) -> None:
    call = {"match": {"prefix": "/c"}, "route": {**TO_APP, "timeout": "3600s"}}
    result = run("envoy", config(call, upgrade_configs=[{"upgrade_type": "websocket"}]), tmp_path)
    assert result.routes[0]["deadlines"] == {"response": "1h", "handshake": "15s", "attempts": "15s"}
    assert result.verdict("route.timeout") is Verdict.DIFFERS
    assert result.file["deadlines"]["idle"] == "5m"
    assert any("stream_idle_timeout" in notice for notice in result.imported.notices)
    plain = {"match": {"prefix": "/c"}, "route": {**TO_APP, "timeout": "30s", "idle_timeout": "90s"}}
    result = run("envoy", config(plain, stream_idle_timeout="0s"), tmp_path)
    assert result.routes[0]["deadlines"] == {
        "response": "30s",
        "handshake": "30s",
        "attempts": "30s",
        "idle": "1m30s",
        "response_idle": "1m30s",
        "body_idle": "1m30s",
    }
    assert result.file["deadlines"]["idle"] == "never"


def test_retries(tmp_path: Path) -> None:
    policy = {
        "retry_on": "gateway-error,connect-failure",
        "num_retries": 7,
        "per_try_timeout": "2s",
        "host_selection_retry_max_attempts": "3",
    }
    result = run("envoy", config({"match": {"prefix": "/"}, "route": {**TO_APP, "retry_policy": policy}}), tmp_path)
    route = result.routes[0]
    assert (route["retries"], route["fallback_on"]) == (5, [502, 503, 504])
    assert route["deadlines"]["handshake"] == "2s"
    assert result.verdict("retry_policy.host_selection") is Verdict.LOST


def test_header_edits(tmp_path: Path) -> None:
    add = [
        {
            "header": {"key": "x-a", "value": "%REQ(:AUTHORITY)% {1} 100%%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        },
        {"header": {"key": "x-b", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}},
        {"header": {"key": "x-c", "value": "%UPSTREAM_HOST%"}},
    ]
    node = {
        "match": {"prefix": "/"},
        "route": TO_APP,
        "request_headers_to_add": add,
        "response_headers_to_remove": ["server"],
    }
    result = run("envoy", config(node), tmp_path)
    assert result.routes[0]["request_headers"] == {"x-a": "{header:Host} {{1}} 100%", "x-b": "{client}"}
    assert result.routes[0]["response_headers"] == {"server": False}
    assert result.verdict("header.value: %UPSTREAM") is Verdict.LOST
    assert result.verdict("header.value: %DOWN") is Verdict.DIFFERS


def test_clusters(tmp_path: Path) -> None:
    limits = {"thresholds": [{"max_connections": 9, "max_retries": 3}]}
    more = {"type": "STATIC", "lb_policy": "LEAST_REQUEST", "connect_timeout": "2s", "circuit_breakers": limits}
    clusters = [
        cluster("app", ("10.0.0.1", 80), ("10.0.0.2", 80), **more),
        cluster("two", ("a.x", 80), ("b.x", 81), dns_refresh_rate="20s"),
        cluster("idle", ("c.x", 80)),
    ]
    routes = [{"match": {"prefix": f"/{name}"}, "route": {"cluster": name}} for name in ("app", "two")]
    result = run("envoy", config(*routes, clusters=clusters), tmp_path)
    assert result.file["resolver"] == {"hosts": {"app.cluster": ["10.0.0.1", "10.0.0.2"]}, "max_ttl": "20s"}
    expected = {"address": "app.cluster:80", "balance": "least-tunnels", "max_tunnels": 9}
    assert result.file["upstreams"]["app"] == expected
    assert result.verdict("thresholds.max_retries") is Verdict.LOST
    assert result.route("two")["upstream"] == {"two-1": 1, "two-2": 1}
    assert result.route("app")["deadlines"]["connect"] == "2s"
    assert result.verdict("socket_address.address: c.x") is Verdict.NO_NEED


TLS_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def test_tls_to_pods(tmp_path: Path) -> None:
    names = [{"san_type": "URI", "matcher": {"exact": "spiffe://x/ns/a/sa/b"}}]
    pair = {"certificate_chain": {"filename": "/c/a.pem"}, "private_key": {"filename": "/c/a.key"}}
    validation = {"trusted_ca": {"filename": "/c/ca.pem"}, "match_typed_subject_alt_names": names}
    common = {"tls_certificates": [pair], "validation_context": validation, "alpn_protocols": ["h2"]}
    context = {"@type": TLS_TYPE, "sni": "agents.x", "common_tls_context": common}
    route = {"match": {"prefix": "/"}, "route": TO_APP}
    clusters = [cluster("app", ("a.x", 443), transport_socket={"name": "tls", "typed_config": context})]
    result = run("envoy", config(route, clusters=clusters), tmp_path)
    assert result.file["upstreams"]["app"]["tls"] == {
        "ca": "/c/ca.pem",
        "certificate": {"chain": "/c/a.pem", "key": "/c/a.key"},
        "names": ["spiffe://x/ns/a/sa/b"],
        "sni": "agents.x",
    }
    bare = {"name": "tls", "typed_config": {"@type": TLS_TYPE}}
    result = run("envoy", config(route, clusters=[cluster("app", ("a.x", 443), transport_socket=bare)]), tmp_path)
    assert result.file["upstreams"]["app"]["tls"] == {"ca": "system"}
    assert result.entry(f"typed_config.@type: {TLS_TYPE}").verdict is Verdict.DIFFERS


@pytest.mark.parametrize(
    "common",
    [
        {"validation_context": {"trusted_ca": {"inline_string": "x"}}},
        {"validation_context": {"trusted_ca": {"filename": "relative"}}},
        {"tls_certificates": [{"certificate_chain": {"inline_string": "x"}}]},
    ],
)
def test_pods_whose_certificates_cannot_be_verified_get_nothing(tmp_path: Path, common: dict[str, Any]) -> None:
    socket = {"name": "tls", "typed_config": {"@type": TLS_TYPE, "common_tls_context": common}}
    clusters = [cluster("app", ("a.x", 443), transport_socket=socket)]
    result = run("envoy", config({"match": {"prefix": "/"}, "route": TO_APP}, clusters=clusters), tmp_path)
    assert result.routes[0]["respond"]["status"] == 503


@pytest.mark.parametrize("kind", ["jwt_authn", "rbac", "oauth2", "basic_auth"])
def test_a_filter_that_guards_closes_all_routes(tmp_path: Path, kind: str) -> None:
    guard = {"name": kind, "typed_config": {"@type": f"{_FILTERS}.{kind}.v3.X"}}
    result = run("envoy", config({"match": {"prefix": "/"}, "route": TO_APP}, http_filters=[guard]), tmp_path)
    assert result.routes[0]["respond"]["status"] == 503
    assert result.verdict(f"http_filters.name: {kind}") is Verdict.LOST


def test_an_authorizer_over_http(tmp_path: Path) -> None:
    service = {"server_uri": {"uri": "x", "cluster": "auth", "timeout": "1s"}, "path_prefix": "/check"}
    guard = {"name": "a", "typed_config": {"@type": f"{_FILTERS}.ext_authz.v3.ExtAuthz", "http_service": service}}
    clusters = [cluster("app", ("a.x", 80)), cluster("auth", ("auth.x", 80))]
    result = run(
        "envoy", config({"match": {"prefix": "/"}, "route": TO_APP}, clusters=clusters, http_filters=[guard]), tmp_path
    )
    assert result.routes[0]["authorize"] == {"upstream": "auth", "path": "/check"}
    assert result.verdict("server_uri.cluster") is Verdict.DIFFERS


def test_virtual_hosts_are_tried_by_how_exact_they_are(tmp_path: Path) -> None:
    hosts = [
        {"name": "any", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": TO_APP}]},
        {"name": "wild", "domains": ["*.x"], "routes": [{"match": {"prefix": "/w"}, "route": TO_APP}]},
        {"name": "exact", "domains": ["a.x", "a.x:8080"], "routes": [{"match": {"prefix": "/e"}, "route": TO_APP}]},
    ]
    result = run("envoy", config(route_config={"virtual_hosts": hosts}), tmp_path)
    assert [(route["name"], route.get("hosts")) for route in result.routes] == [
        ("exact-e", ["a.x"]),
        ("exact-none", ["a.x"]),
        ("wild-w", ["*.x"]),
        ("wild-none", ["*.x"]),
        ("any", None),
    ]


def test_routes_from_a_control_plane_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ImportFault, match="ask the control plane"):
        run("envoy", config(route_config=None, rds={"route_config_name": "x"}), tmp_path)


def test_json_is_yaml(tmp_path: Path) -> None:
    import json

    text = json.dumps(yaml.safe_load(config({"match": {"prefix": "/"}, "route": TO_APP})))
    result: Result = run("envoy", text, tmp_path)
    assert result.routes[0]["upstream"] == "app"


def test_outliers_and_health_checks(tmp_path: Path) -> None:
    check = {"timeout": "1s", "interval": "5s", "unhealthy_threshold": 2, "healthy_threshold": 1}
    more = {
        "outlier_detection": {"consecutive_gateway_failure": 3, "max_ejection_percent": 30, "max_ejection_time": "60s"},
        "health_checks": [{**check, "http_health_check": {"path": "/up"}, "reuse_connection": False}],
    }
    clusters = [cluster("app", ("a.x", 80), **more)]
    result = run("envoy", config({"match": {"prefix": "/"}, "route": TO_APP}, clusters=clusters), tmp_path)
    app = result.file["upstreams"]["app"]
    assert app["outlier_detection"] == {"consecutive_errors": 3, "max_ejection_percent": 30, "max_ejection_time": "1m"}
    assert app["health_check"] == {"path": "/up", **check, "timeout": "1s", "interval": "5s"}
    assert result.verdict("health_checks.reuse_connection") is Verdict.LOST
    clusters = [cluster("app", ("a.x", 80), health_checks=[{**check, "tcp_health_check": {}}])]
    result = run("envoy", config({"match": {"prefix": "/"}, "route": TO_APP}, clusters=clusters), tmp_path)
    assert result.file["upstreams"]["app"]["health_check"] == "tcp"


def test_what_protects_a_route_or_a_connection_closes_it(tmp_path: Path) -> None:
    per_route = {"envoy.filters.http.rbac": {"@type": f"{_FILTERS}.rbac.v3.RBACPerRoute"}}
    route = {"match": {"prefix": "/"}, "route": TO_APP}
    assert run("envoy", config({**route, "typed_per_filter_config": per_route}), tmp_path).routes[0]["respond"]
    network = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
    listener = config(route).replace("    filter_chains:", "    filter_chains:  # x", 1)
    guard = f"- name: rbac\n        typed_config:\n          '@type': {network}\n      - name: hcm"
    assert run("envoy", listener.replace("- name: hcm", guard), tmp_path).routes[0]["respond"]
    tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    bootstrap = yaml.safe_load(config(route))
    [chain] = bootstrap["static_resources"]["listeners"][0]["filter_chains"]
    chain["transport_socket"] = {"name": "tls", "typed_config": {"@type": tls, "require_client_certificate": True}}
    assert run("envoy", yaml.safe_dump(bootstrap), tmp_path).routes[0]["respond"]


def test_addresses_that_are_no_tcp_ports(tmp_path: Path) -> None:
    bootstrap = yaml.safe_load(config({"match": {"prefix": "/"}, "route": TO_APP}))
    bootstrap["admin"] = {"address": {"pipe": {"path": "/run/admin"}}}
    result = run("envoy", yaml.safe_dump(bootstrap), tmp_path)
    assert "admin" not in result.file["server"]
    assert result.verdict("pipe.path") is Verdict.LOST
    bootstrap["static_resources"]["listeners"][0]["address"] = {"pipe": {"path": "/run/main"}}
    with pytest.raises(ImportFault, match="TCP ports alone"):
        run("envoy", yaml.safe_dump(bootstrap), tmp_path)


def test_a_listener_on_the_admin_address_has_it(tmp_path: Path) -> None:
    bootstrap = yaml.safe_load(config({"match": {"prefix": "/"}, "route": TO_APP}))
    bootstrap["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = 9901
    result = run("envoy", yaml.safe_dump(bootstrap), tmp_path)
    assert result.file["server"] == {"listen": "0.0.0.0:9901", "admin": "off"}
    assert any("9901" in notice for notice in result.imported.notices)


def test_what_a_section_may_not_say_is_lost(tmp_path: Path) -> None:
    bootstrap = yaml.safe_load(config({"match": {"prefix": "/"}, "route": TO_APP}))
    bootstrap["admin"] = {"address": {"socket_address": {"address": "admin.example", "port_value": 9000}}}
    result = run("envoy", yaml.safe_dump(bootstrap), tmp_path)
    assert result.verdict("socket_address.address: admin.example") is Verdict.LOST
    assert "admin" not in result.file["server"]


def test_tls_that_is_passed_on(tmp_path: Path) -> None:
    tcp = {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "cluster": "grpc"}
    chain = {"filter_chain_match": {"server_names": ["g.x"]}, "filters": [{"name": "tcp", "typed_config": tcp}]}
    listener = {"address": {"socket_address": {"address": "0.0.0.0", "port_value": 8443}}, "filter_chains": [chain]}
    clusters = [cluster("app", ("a.x", 80)), cluster("grpc", ("grpc.x", 443))]
    bootstrap = yaml.safe_load(config({"match": {"prefix": "/"}, "route": TO_APP}, clusters=clusters))
    bootstrap["static_resources"]["listeners"].append(listener)
    result = run("envoy", yaml.safe_dump(bootstrap), tmp_path)
    assert result.file["passthrough"] == [{"names": ["g.x"], "upstream": "grpc"}]
    assert result.file["server"]["listen"] == ["0.0.0.0:8080", {"address": "0.0.0.0:8443", "passthrough": True}]
    assert result.counts()[Verdict.LOST] == 0
    chain["filter_chain_match"] = {"server_names": ["*.com"]}
    result = run("envoy", yaml.safe_dump(bootstrap), tmp_path)
    assert result.file["server"]["listen"] == "0.0.0.0:8080"
    assert result.verdict("filter_chain_match.server_names") is Verdict.LOST
