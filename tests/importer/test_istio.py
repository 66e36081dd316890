"""What becomes of Istio's resources, and of HTTPRoutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from splicer.importer.ledger import Verdict
from tests.importer.kit import Result, run

TO_APP = [{"destination": {"host": "app", "port": {"number": 80}}}]


def resource(kind: str, name: str, spec: dict[str, Any], api: str = "networking.istio.io/v1") -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "voice"}, "spec": spec}


def service(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return resource("VirtualService", "vs", {"hosts": ["a.example"], "gateways": ["g"], "http": list(rules), **spec})


def imported(directory: Path, *resources: dict[str, Any], **options: Any) -> Result:
    return run("istio", yaml.safe_dump_all(resources, sort_keys=False), directory, **options)


@pytest.mark.parametrize(
    ("match", "rewrite", "expected"),
    [
        ({"uri": {"exact": "/a"}}, {"uri": "/b"}, {"path": "/a", "rewrite": "/b"}),
        ({"uri": {"prefix": "/a/"}}, {"uri": "/"}, {"prefix": "/a/", "strip_prefix": True}),
        ({"uri": {"prefix": "/a"}}, {"uri": "/"}, {"prefix": "/a", "strip_prefix": True}),
        ({"uri": {"prefix": "/a"}}, {"uri": "/b"}, {"regex": "^/a(?<rest>.*)$", "rewrite": "/b{rest}"}),
        ({"uri": {"regex": "/a|/b"}}, {"uri": "/c"}, {"regex": "^(?:/a|/b)$", "rewrite": "/c"}),
        ({"uri": {"exact": "/A"}, "ignoreUriCase": True}, {}, {"regex": "(?i)^/A$"}),
        (
            {"uri": {"prefix": "/a"}},
            {"uriRegexRewrite": {"match": "^/a/([^/]+)/(.*)$", "rewrite": "/\\1-\\2"}},
            {"regex": "^/a/(?<p1>[^/]+)/(?<p2>.*)$", "rewrite": "/{p1}-{p2}"},
        ),
        ({}, {}, {"prefix": "/"}),
    ],
)
def test_matches_and_rewrites(
    tmp_path: Path, match: dict[str, Any], rewrite: dict[str, Any], expected: dict[str, Any]
) -> None:
    rule = {"match": [match], "rewrite": rewrite, "route": TO_APP} if rewrite else {"match": [match], "route": TO_APP}
    [route] = imported(tmp_path, service(rule)).routes
    assert {
        key: route[key] for key in ("path", "prefix", "regex", "rewrite", "strip_prefix") if key in route
    } == expected
    assert (route["hosts"], route["upstream"], route["upgrade"]) == (["a.example"], "app", ["websocket"])


def test_conditions(tmp_path: Path) -> None:
    match = {
        "method": {"exact": "POST"},
        "headers": {"x-a": {"regex": "1|2"}, "x-b": {}},
        "withoutHeaders": {"x-c": {}},
        "queryParams": {"q": {"prefix": "v"}},
    }
    [route] = imported(tmp_path, service({"match": [match], "route": TO_APP})).routes
    assert route["methods"] == ["POST"]
    assert route["headers"] == {"x-a": {"regex": "^(?:1|2)$"}, "x-b": True, "x-c": False}
    assert route["query"] == {"q": {"prefix": "v"}}


@pytest.mark.parametrize("match", [{"sourceLabels": {"app": "x"}}, {"port": 8080}, {"method": {"regex": "G.*"}}])
def test_what_the_edge_cannot_know_closes_the_route(tmp_path: Path, match: dict[str, Any]) -> None:
    [route] = imported(tmp_path, service({"match": [match], "route": TO_APP})).routes
    assert route["respond"]["status"] == 503


def test_answers(tmp_path: Path) -> None:
    rules = [
        {"match": [{"uri": {"exact": "/h"}}], "directResponse": {"status": 200, "body": {"string": "ok"}}},
        {
            "match": [{"uri": {"prefix": "/r"}}],
            "redirect": {"uri": "/s", "authority": "b.x", "scheme": "https", "redirectCode": 308},
        },
    ]
    result = imported(tmp_path, service(*rules))
    assert result.routes[0]["respond"] == {"status": 200, "body": "ok", "content_type": "text/plain"}
    assert result.routes[1]["redirect"] == {"to": "https://b.x/s?{query}", "status": 308}


def test_the_rest_of_a_rule(tmp_path: Path) -> None:
    rule = {
        "route": [
            {"destination": {"host": "app.other", "port": {"number": 80}}, "weight": 90},
            {"destination": {"host": "next", "port": {"number": 80}}, "weight": 10},
        ],
        "timeout": "30s",
        "retries": {"attempts": 2, "retryOn": "gateway-error,503", "perTryTimeout": "5s"},
        "headers": {"request": {"set": {"x-a": "1"}, "remove": ["x-b"]}, "response": {"add": {"x-c": "2"}}},
        "corsPolicy": {"maxAge": "1h"},
        "mirror": {"host": "copy"},
    }
    result = imported(tmp_path, service(rule))
    [route] = result.routes
    assert result.file["upstreams"]["next"]["address"] == "next.voice.svc.cluster.local:80"
    assert result.file["upstreams"]["app"]["address"] == "app.other:80"
    assert route["upstream"] == {"app": 90, "next": 10}
    assert (route["retries"], route["fallback_on"]) == (2, [502, 503, 504])
    assert route["deadlines"] == {"response": "30s", "handshake": "5s", "attempts": "30s"}
    assert route["request_headers"] == {"x-a": "1", "x-b": False}
    assert route["response_headers"] == {"x-c": "2"}
    assert result.verdict("corsPolicy.maxAge") is result.verdict("mirror.host") is Verdict.LOST


def test_subsets_are_lost_and_their_weights_added(tmp_path: Path) -> None:
    split = [
        {"destination": {"host": "app", "subset": name, "port": {"number": 80}}, "weight": 50} for name in ("v1", "v2")
    ]
    result = imported(tmp_path, service({"route": split}))
    assert result.routes[0]["upstream"] == "app"
    assert result.verdict("destination.subset: v1") is Verdict.LOST


def test_ports_come_from_services(tmp_path: Path) -> None:
    kubernetes = resource("Service", "app", {"ports": [{"port": 8000}]}, api="v1")
    result = imported(tmp_path, service({"route": [{"destination": {"host": "app"}}]}), kubernetes)
    assert result.file["upstreams"]["app"]["address"] == "app.voice.svc.cluster.local:8000"
    result = imported(tmp_path, service({"route": [{"destination": {"host": "app"}}]}))
    assert result.verdict("destination.host") is Verdict.DIFFERS


def test_destination_rules(tmp_path: Path) -> None:
    policy = {
        "connectionPool": {
            "tcp": {"connectTimeout": "4s", "maxConnections": 1},
            "http": {"h2UpgradePolicy": "UPGRADE"},
        },
        "loadBalancer": {"simple": "RANDOM"},
        "proxyProtocol": {"version": "V2"},
        "outlierDetection": {
            "consecutive5xxErrors": 2,
            "interval": "10s",
            "baseEjectionTime": "30s",
            "minHealthPercent": 5,
        },
        "tls": {"mode": "DISABLE"},
    }
    rule = resource("DestinationRule", "r", {"host": "app", "trafficPolicy": policy})
    unused = resource("DestinationRule", "u", {"host": "gone", "trafficPolicy": {"tls": {"mode": "MUTUAL"}}})
    result = imported(tmp_path, service({"route": TO_APP}), rule, unused)
    assert result.routes[0]["deadlines"]["connect"] == "4s"
    assert result.file["upstreams"]["app"]["balance"] == "random"
    assert result.file["upstreams"]["app"]["max_tunnels"] == 1
    assert result.file["upstreams"]["app"]["proxy_protocol"] == "v2"
    assert result.file["upstreams"]["app"]["outlier_detection"] == {
        "consecutive_errors": 2,
        "base_ejection_time": "30s",
        "max_ejection_percent": 10,
        "statuses": [500, 501, 502, 503, 504],
    }
    assert result.verdict("outlierDetection.minHealthPercent") is Verdict.LOST
    assert result.verdict("http.h2UpgradePolicy") is Verdict.LOST
    assert result.verdict("tcp.maxConnections") is Verdict.DIFFERS
    assert result.verdict("tls.mode: DISABLE") is Verdict.DEFAULT
    assert result.verdict("tls.mode: MUTUAL") is Verdict.NO_NEED
    secured = resource(
        "DestinationRule",
        "r",
        {"host": "*.voice.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}},
    )
    assert imported(tmp_path, service({"route": TO_APP}), secured).routes[0]["respond"]["status"] == 503


def test_fixed_addresses_of_a_service_entry(tmp_path: Path) -> None:
    spec = {
        "hosts": ["app.x"],
        "ports": [{"number": 80}],
        "resolution": "STATIC",
        "endpoints": [{"address": "10.0.0.1"}],
    }
    rule = {"route": [{"destination": {"host": "app.x"}}]}
    result = imported(tmp_path, service(rule), resource("ServiceEntry", "e", spec))
    assert result.file["resolver"]["hosts"] == {"app.x": ["10.0.0.1"]}
    assert result.file["upstreams"]["app"]["address"] == "app.x:80"


def test_services_of_the_mesh_alone_are_lost(tmp_path: Path) -> None:
    mesh = resource("VirtualService", "m", {"hosts": ["app"], "gateways": ["mesh"], "http": [{"route": TO_APP}]})
    result = imported(tmp_path, mesh, service({"route": TO_APP}))
    assert [route["hosts"] for route in result.routes] == [["a.example"]]
    assert result.verdict("spec.gateways: mesh") is Verdict.LOST


def test_gateways(tmp_path: Path) -> None:
    servers = [
        {
            "port": {"number": 8080, "name": "http", "protocol": "HTTP"},
            "hosts": ["a.example"],
            "tls": {"httpsRedirect": True},
        },
        {
            "port": {"number": 8443, "name": "https", "protocol": "HTTPS"},
            "hosts": ["a.example"],
            "tls": {"mode": "SIMPLE", "credentialName": "c"},
        },
        {"port": {"number": 9000, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]},
    ]
    result = imported(
        tmp_path, resource("Gateway", "g", {"selector": {"i": "g"}, "servers": servers}), service({"route": TO_APP})
    )
    assert result.file["server"]["listen"] == ["0.0.0.0:8080", {"address": "0.0.0.0:8443", "tls": "edge"}]
    assert result.file["tls"]["edge"] == {"certificates": ["/certs/c"], "unknown_name": "first"}
    assert "Secret c at /certs/c" in result.entry("tls.credentialName").note
    assert [route["scheme"] for route in result.routes[:2]] == ["http", "http"]
    assert (result.routes[0]["hosts"], result.routes[1]["respond"]) == (["a.example"], {"status": 404})
    del servers[1]
    gateway = resource("Gateway", "g", {"selector": {"i": "g"}, "servers": servers})
    result = imported(tmp_path, gateway, service({"route": TO_APP}))
    assert result.verdict("tls.httpsRedirect") is Verdict.LOST
    assert "scheme" not in result.routes[0]


@pytest.mark.parametrize(("labels", "closed"), [({"i": "g"}, True), ({"app": "other"}, False)])
def test_a_policy_for_the_gateways_pods_closes_all_routes(tmp_path: Path, labels: dict[str, str], closed: bool) -> None:
    gateway = resource("Gateway", "g", {"selector": {"i": "g"}, "servers": []})
    policy = resource(
        "AuthorizationPolicy", "p", {"selector": {"matchLabels": labels}, "action": "DENY"}, api="security.istio.io/v1"
    )
    result = imported(tmp_path, gateway, policy, service({"route": TO_APP}))
    assert ("respond" in result.routes[0]) is closed
    assert result.verdict("spec.action") is Verdict.LOST


def test_other_resources_need_nothing(tmp_path: Path) -> None:
    deployment = resource("Deployment", "d", {"replicas": 3}, api="apps/v1")
    listing = {"apiVersion": "v1", "kind": "List", "items": [deployment, service({"route": TO_APP})]}
    result = imported(tmp_path, listing)
    assert result.verdict("spec.replicas") is Verdict.NO_NEED


def http_route(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return resource("HTTPRoute", "r", {"rules": list(rules), **spec}, api="gateway.networking.k8s.io/v1")


def path(value: str, kind: str = "PathPrefix") -> dict[str, Any]:
    return {"path": {"type": kind, "value": value}}


def test_http_routes_are_tried_by_how_exact_they_are(tmp_path: Path) -> None:
    backend = [{"name": "app", "port": 80}]
    rules = [
        {"matches": [path("/")], "backendRefs": backend},
        {"matches": [path("/a")], "backendRefs": backend},
        {"matches": [{**path("/a/b"), "headers": [{"name": "x", "value": "1"}]}], "backendRefs": backend},
        {"matches": [path("/a/b")], "backendRefs": backend},
        {"matches": [path("/a", "Exact")], "backendRefs": backend},
    ]
    routes = imported(tmp_path, http_route(*rules)).routes
    patterns = [route.get("path") or route.get("regex") or route.get("prefix") for route in routes]
    assert patterns == ["/a", "^/a/b(?:/|$)", "^/a/b(?:/|$)", "^/a(?:/|$)", "/"]
    assert routes[1]["headers"] == {"x": "1"}


def test_filters_of_http_routes(tmp_path: Path) -> None:
    rewrite = {
        "type": "URLRewrite",
        "urlRewrite": {"hostname": "b.x", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
    }
    redirect = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "hostname": "b.x", "port": 8443}}
    guard = {"type": "ExternalAuth", "externalAuth": {"protocol": "HTTP"}}
    backend = [{"name": "app", "port": 80}]
    rules = [
        {"matches": [path("/w")], "filters": [rewrite], "backendRefs": backend},
        {"matches": [path("/r")], "filters": [redirect]},
        {"matches": [path("/g")], "filters": [guard], "backendRefs": backend},
        {"matches": [path("/n")]},
    ]
    result = imported(tmp_path, http_route(*rules))
    by_name = {route["name"]: route for route in result.routes}
    assert (by_name["w"]["regex"], by_name["w"]["rewrite"], by_name["w"]["host"]) == (
        "^/w(?:/(?<rest>.*))?$",
        "/{rest}",
        "b.x",
    )
    assert by_name["r"]["redirect"] == {"to": "https://b.x:8443{target}", "status": 302}
    assert by_name["g"]["respond"]["status"] == 503
    assert by_name["n"]["respond"] == {"status": 500}


@pytest.mark.parametrize(
    ("tls", "closed"),
    [
        ({"mode": "MUTUAL", "credentialName": "c"}, False),
        ({"mode": "MUTUAL", "serverCertificate": "a.pem", "privateKey": "/k"}, True),  # no absolute path
        ({"mode": "ISTIO_MUTUAL"}, True),
        ({"mode": "MUTUAL"}, True),
    ],
)
def test_who_had_to_show_a_certificate_has_to(tmp_path: Path, tls: dict[str, str], closed: bool) -> None:
    port = {"number": 8443, "name": "https", "protocol": "HTTPS"}
    servers = [{"port": port, "hosts": ["*"], "tls": tls}]
    result = imported(tmp_path, resource("Gateway", "g", {"servers": servers}), service({"route": TO_APP}))
    assert ("respond" in result.routes[0]) is closed
    if not closed:
        assert result.file["tls"]["edge"]["client_certificate"] == "require"
        assert result.file["tls"]["edge"]["client_ca"] == "/certs/c/ca.crt"


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ({"mode": "SIMPLE", "sni": "a.x"}, {"ca": "system", "sni": "a.x"}),
        (
            {"mode": "MUTUAL", "credentialName": "c", "subjectAltNames": ["a.x"]},
            {"ca": "/certs/c/ca.crt", "certificate": "/certs/c", "names": ["a.x"]},
        ),
        (
            {"mode": "MUTUAL", "caCertificates": "/c/ca", "clientCertificate": "/c/a.pem", "privateKey": "/c/a.key"},
            {"ca": "/c/ca", "certificate": {"chain": "/c/a.pem", "key": "/c/a.key"}},
        ),
        (
            {"mode": "ISTIO_MUTUAL", "subjectAltNames": ["spiffe://x/sa/b"]},
            {
                "ca": "/etc/istio-output-certs/root-cert.pem",
                "certificate": {
                    "chain": "/etc/istio-output-certs/cert-chain.pem",
                    "key": "/etc/istio-output-certs/key.pem",
                },
                "names": ["spiffe://x/sa/b"],
            },
        ),
    ],
)
def test_tls_to_pods(tmp_path: Path, tls: dict[str, Any], expected: dict[str, Any]) -> None:
    rule = resource("DestinationRule", "r", {"host": "app", "trafficPolicy": {"tls": tls}})
    assert imported(tmp_path, service({"route": TO_APP}), rule).file["upstreams"]["app"]["tls"] == expected


def test_tls_that_is_passed_on(tmp_path: Path) -> None:
    port = {"number": 8443, "name": "tls", "protocol": "TLS"}
    plain = {"port": {"number": 8080, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    servers = [plain, {"port": port, "hosts": ["g.x"], "tls": {"mode": "PASSTHROUGH"}}]
    rule = {
        "match": [{"port": 8443, "sniHosts": ["g.x"]}],
        "route": [{"destination": {"host": "grpc", "port": {"number": 443}}}],
    }
    gateway = resource("Gateway", "g", {"servers": servers})
    result = imported(tmp_path, gateway, service({"route": TO_APP}, tls=[rule]))
    assert result.file["passthrough"] == [{"names": ["g.x"], "upstream": "grpc"}]
    assert result.file["server"]["listen"] == ["0.0.0.0:8080", {"address": "0.0.0.0:8443", "passthrough": True}]
    assert result.counts()[Verdict.LOST] == 0
    result = imported(tmp_path, gateway, service({"route": TO_APP}))
    assert result.file["server"]["listen"] == "0.0.0.0:8080"
