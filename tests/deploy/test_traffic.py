"""Who reaches the edge and whom it reaches: Services, load balancer, network policy, scraper."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from splicer.http1.forwarded import forwarding
from splicer.model import RequestHead, Respond
from splicer.routing.table import RouteTable
from tests.deploy.manifests import (
    ALL,
    Manifest,
    config,
    each,
    edge,
    environment,
    one,
    pod,
    port_named,
    pre_stop,
    rendered,
)

# https://cloud.google.com/load-balancing/docs/health-checks#firewall_rules: also where requests come from
_GOOGLES = {ip_network("35.191.0.0/16"), ip_network("130.211.0.0/22")}
_REUSE_SECONDS = 600  # seconds for which Google's load balancers take an idle connection to us again; not to be changed
_GKE = ["gke", "gke+keda", "gke+tls"]
_LABEL = {"app.kubernetes.io/name": "splicer"}

everywhere = pytest.mark.parametrize("name", ALL)
on_gke = pytest.mark.parametrize("name", _GKE)


@everywhere
def test_all_select_the_pods_that_there_are(name: str) -> None:
    deployment = one(rendered(name), "Deployment")["spec"]
    assert deployment["template"]["metadata"]["labels"] == _LABEL
    selectors = [deployment["selector"]]
    selectors += [rule["labelSelector"] for rule in pod(rendered(name)).get("topologySpreadConstraints", [])]
    for kind in ("PodDisruptionBudget", "PodMonitor"):
        selectors += [manifest["spec"]["selector"] for manifest in each(rendered(name), kind)]
    selectors.append(one(rendered(name), "NetworkPolicy")["spec"]["podSelector"])
    selectors.append({"matchLabels": one(rendered(name), "Service")["spec"]["selector"]})
    assert selectors == [{"matchLabels": _LABEL}] * len(selectors)


@everywhere
def test_the_service_leads_to_the_port_for_calls(name: str) -> None:
    ports = {port["port"]: port["targetPort"] for port in one(rendered(name), "Service")["spec"]["ports"]}
    assert ports == {80: "http", 8080: "http"}
    assert port_named(edge(rendered(name)), "http")


@everywhere
def test_the_scraper_gets_the_job_and_labels_that_alerts_and_dashboard_have(name: str) -> None:
    for monitor in each(rendered(name), "PodMonitor"):
        assert _LABEL[monitor["spec"]["jobLabel"]] == "splicer"
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert port_named(edge(rendered(name)), endpoint["port"])
        assert (endpoint["path"], endpoint["honorLabels"], endpoint["interval"]) == ("/metrics", True, "15s")
        assert endpoint["relabelings"] == [
            {"action": "replace", "sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"},
        ]


# ---- network policy ----


def _rules(name: str, direction: str) -> Iterator[tuple[Manifest, int | None, str]]:
    """Peer, port (None: any) and protocol of each thing that is allowed."""
    policy = one(rendered(name), "NetworkPolicy")["spec"]
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    for rule in policy[direction]:
        for peer in rule["to" if direction == "egress" else "from"]:
            for port in rule.get("ports", [{}]):
                yield peer, port.get("port"), port.get("protocol", "TCP")


def _namespace(peer: Manifest) -> str | None:
    """The one whose pods are meant, all of them; None: something else."""
    if peer == {"podSelector": {}}:
        return "voice-system"
    if peer.keys() == {"namespaceSelector"}:
        name: str | None = peer["namespaceSelector"].get("matchLabels", {}).get("kubernetes.io/metadata.name")
        return name
    return None


# A Service's own port need not be its pods', and policies see theirs: for a Service of another namespace every port is
# open.
@everywhere
def test_every_upstream_may_be_reached(name: str) -> None:
    allowed = {(_namespace(peer), port) for peer, port, protocol in _rules(name, "egress") if protocol == "TCP"}
    upstreams = config(rendered(name)).upstreams.values()
    needed = {(upstream.host.text.partition(".svc.")[0].rpartition(".")[2], upstream.port) for upstream in upstreams}
    assert needed
    assert {(where, port) for where, port in needed if not {(where, port), (where, None)} & allowed} == set()


@everywhere
@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_dns_may_be_asked(name: str, protocol: str) -> None:
    peers = [peer for peer, port, spoken in _rules(name, "egress") if (port, spoken) == (53, protocol)]
    assert [
        peer["podSelector"]["matchExpressions"][0]["values"]
        for peer in peers
        if peer.get("namespaceSelector") == {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}
    ] == [["kube-dns", "node-local-dns"]]
    blocks = [ip_network(peer["ipBlock"]["cidr"]) for peer in peers if "ipBlock" in peer]
    assert any(ip_address("169.254.20.10") in block for block in blocks)
    if name in _GKE:
        assert any(ip_address(environment(rendered(name))["DNS_SERVER"]) in block for block in blocks)


# Its address differs from cluster to cluster, so the base has none. kind's Service `kubernetes` is 10.96.0.1, its node
# 172.18.0.2, minikube's 192.168.49.2.
@pytest.mark.parametrize(
    ("name", "address", "port"),
    [
        *((name, address, 443) for name in _GKE for address in ("34.118.224.1", "172.16.0.2")),
        *(("local", *there) for there in (("10.96.0.1", 443), ("172.18.0.2", 6443), ("192.168.49.2", 8443))),
    ],
)
def test_the_api_server_may_be_asked(name: str, address: str, port: int) -> None:
    blocks = [
        ip_network(peer["ipBlock"]["cidr"])
        for peer, allowed, protocol in _rules(name, "egress")
        if "ipBlock" in peer and (allowed, protocol) == (port, "TCP")
    ]
    assert any(ip_address(address) in block for block in blocks)


@everywhere
def test_only_who_has_business_gets_in(name: str) -> None:
    container = edge(rendered(name))
    http, metrics = port_named(container, "http"), port_named(container, "metrics")
    rules = list(_rules(name, "ingress"))
    tls = [port_named(container, "https")] if name == "gke+tls" else []
    pods = [(peer, port, protocol) for peer, port, protocol in rules if "ipBlock" not in peer]
    assert [peer for peer in pods if peer[1] not in tls] == [
        ({"namespaceSelector": {}}, http, "TCP"),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}, metrics, "TCP"),
    ]
    outside = {(ip_network(peer["ipBlock"]["cidr"]), port) for peer, port, _ in rules if "ipBlock" in peer}
    googles = {(block, http) for block in _GOOGLES} if name in _GKE else set()
    assert outside == googles | {(ip_network("0.0.0.0/0"), port) for port in tls}


# ---- the load balancer ----


@everywhere
def test_only_googles_load_balancers_are_believed(name: str) -> None:
    its_own = ip_network(environment(rendered(name)).get("LB_ADDRESS", "192.0.2.1"))
    assert its_own.num_addresses == 1
    assert set(config(rendered(name)).server.trusted_proxies) == _GOOGLES | {its_own}


# Google appends the caller's address and its own: "<what the caller wrote>, <caller>, <load balancer>".
# https://cloud.google.com/load-balancing/docs/https#x-forwarded-for_header
@on_gke
@pytest.mark.parametrize("written", ["", "9.9.9.9, ", "9.9.9.9, 203.0.113.7, "])
def test_a_caller_is_known_by_its_own_address(name: str, written: str) -> None:
    came_for = f"{written}1.2.3.4, {environment(rendered(name))['LB_ADDRESS']}"
    headers = ((b"Host", b"a"), (b"X-Forwarded-For", came_for.encode()))
    head = RequestHead("GET", "/", "/", None, "a", "1.1", headers)
    trusted = config(rendered(name)).server.trusted_proxies
    assert forwarding(head, "35.191.0.1", trusted, "id").client == "1.2.3.4"
    assert forwarding(head, "8.8.8.8", trusted, "id").client == "8.8.8.8"


# Whoever closes first, while the other sends a request, has cost somebody a webhook.
@on_gke
def test_google_ends_an_idle_connection_and_not_the_edge(name: str) -> None:
    assert config(rendered(name)).deadlines.keepalive > _REUSE_SECONDS


@on_gke
def test_google_keeps_no_log_of_whole_urls(name: str) -> None:
    assert one(rendered(name), "BackendConfig")["spec"]["logging"] == {"enable": False}
    assert config(rendered(name)).log.query is False


def _asked_of_the_edge(name: str) -> set[str]:
    """The paths by which the kubelet and the load balancer judge the pod, on the port for calls."""
    probes = [value["httpGet"] for key, value in edge(rendered(name)).items() if key.endswith("Probe")]
    paths = {probe["path"] for probe in probes if probe["port"] == "http"}
    return paths | {backend["spec"]["healthCheck"]["requestPath"] for backend in each(rendered(name), "BackendConfig")}


# The host of a probe is an address, and nobody's promise: so for any, those of the callers too.
@everywhere
@pytest.mark.parametrize("host", ["", "10.1.2.3:8080", "clairvoyance.breezelabs.app", "buddy.breezelabs.app", "a.test"])
def test_the_edge_itself_says_whether_it_is_ready(name: str, host: str) -> None:
    table = RouteTable(config(rendered(name)).routes)
    assert _asked_of_the_edge(name)
    for path in _asked_of_the_edge(name):
        answer = table.match("GET", host, path).route.respond
        assert isinstance(answer, Respond)
        assert answer.status == 200
        assert answer.draining is not None
        assert answer.draining.status == 503


@everywhere
def test_the_name_server_is_told_where_it_is_known(name: str) -> None:
    ((address, port),) = config(rendered(name)).resolver.nameservers
    known = {"gke": "34.118.224.10", "local": "10.96.0.10"}.get(name.partition("+")[0])
    assert environment(rendered(name)).get("DNS_SERVER") == known
    assert (address, port) == (known or "34.118.224.10", 53)


@on_gke
def test_the_load_balancer_outlasts_every_call(name: str) -> None:
    spec = one(rendered(name), "BackendConfig")["spec"]
    calls = [route.deadlines for route in config(rendered(name)).routes if "websocket" in route.upgrade]
    assert calls
    longest = [seconds for its in calls for seconds in (its.idle, its.lifetime) if seconds < math.inf]
    assert spec["timeoutSec"] > max(longest)
    drain = config(rendered(name)).deadlines.drain
    assert spec["connectionDraining"]["drainingTimeoutSec"] >= pre_stop(rendered(name)) + drain


@on_gke
def test_it_asks_the_pods_themselves_whether_they_are_ready(name: str) -> None:
    check = one(rendered(name), "BackendConfig")["spec"]["healthCheck"]
    ready = edge(rendered(name))["readinessProbe"]["httpGet"]
    assert (check["type"], check["requestPath"]) == ("HTTP", ready["path"])
    assert check["port"] == port_named(edge(rendered(name)), ready["port"])
    annotations = one(rendered(name), "Service")["metadata"]["annotations"]
    assert json.loads(annotations["cloud.google.com/neg"]) == {"ingress": True}
    backend = one(rendered(name), "BackendConfig")["metadata"]["name"]
    assert json.loads(annotations["cloud.google.com/backend-config"]) == {"default": backend}


@on_gke
def test_it_serves_the_hosts_of_routing_toml_and_leaves_the_rest_to_the_edge(name: str) -> None:
    ingress = one(rendered(name), "Ingress")
    service = one(rendered(name), "Service")
    rules = ingress["spec"]["rules"]
    hosts = {host for route in config(rendered(name)).routes for host in route.hosts}
    assert {rule["host"] for rule in rules} == hosts
    paths = [path for rule in rules for path in rule["http"]["paths"]]
    assert {(path["path"], path["pathType"]) for path in paths} == {("/", "Prefix")}
    for backend in (ingress["spec"]["defaultBackend"], *(path["backend"] for path in paths)):
        assert backend["service"]["name"] == service["metadata"]["name"]
        assert backend["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


# GKE's Ingress goes by the annotation; and only a certificate that exists serves before DNS has been switched.
@on_gke
def test_it_has_its_own_address_and_a_certificate_that_exists(name: str) -> None:
    ingress = one(rendered(name), "Ingress")
    annotations = ingress["metadata"]["annotations"]
    assert annotations["kubernetes.io/ingress.class"] == "gce"
    assert "ingressClassName" not in ingress["spec"]
    assert annotations["kubernetes.io/ingress.global-static-ip-name"]
    assert annotations["ingress.gcp.kubernetes.io/pre-shared-cert"]
    assert annotations["kubernetes.io/ingress.allow-http"] == "false"
