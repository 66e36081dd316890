"""Each object of each kustomization, by the schemas of every Kubernetes that it may meet."""

from __future__ import annotations

import copy
import difflib
import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest

from splicer.configfile.read import read_config
from tests.deploy.manifests import (
    ALL,
    DEPLOY,
    ROOT,
    VERSIONS,
    Manifest,
    config,
    each,
    edge,
    environment,
    faults,
    one,
    pod,
    port_named,
    rendered,
    vault,
)

_KINDS = {
    "BackendConfig",
    "ConfigMap",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PodMonitor",
    "PriorityClass",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
}
_FOR_CLUSTERS = {"HorizontalPodAutoscaler", "PodDisruptionBudget", "PodMonitor", "PriorityClass"}
_GOOGLES = {"BackendConfig", "Ingress"}
_CONTENTS = {
    "base": _KINDS - _GOOGLES,
    "gke": _KINDS,
    "local": _KINDS - _GOOGLES - _FOR_CLUSTERS | {"Namespace"},
    "base+keda": _KINDS - _GOOGLES - {"HorizontalPodAutoscaler"} | {"ScaledObject"},
    "gke+keda": _KINDS - {"HorizontalPodAutoscaler"} | {"ScaledObject"},
    "gke+tls": _KINDS | {"Certificate"},
}
_SECOND = {"gke+tls": ["Service"]}
_FILES = {"gke+tls": "components/tls/routing.toml"}  # the others have the base's
_CLUSTER_WIDE = {"PriorityClass", "Namespace"}


@pytest.mark.parametrize("name", ALL)
def test_it_renders_each_kind_once(name: str) -> None:
    kinds = sorted([*_CONTENTS[name], *_SECOND.get(name, [])])
    assert sorted(manifest["kind"] for manifest in rendered(name)) == kinds


@pytest.mark.parametrize(
    ("name", "version"),
    [*(("gke", version) for version in VERSIONS), *((name, VERSIONS[-1]) for name in ALL if name != "gke")],
)
def test_kubernetes_takes_it(name: str, version: str) -> None:
    assert [fault for manifest in rendered(name) for fault in faults(manifest, version)] == []


@pytest.mark.parametrize("kind", sorted(_KINDS | {"ScaledObject", "Certificate"}))
def test_a_misspelt_key_does_not_pass(kind: str) -> None:
    manifest = one(rendered({"ScaledObject": "gke+keda", "Certificate": "gke+tls"}.get(kind, "gke")), kind)
    assert [key for key, wrong in _misspelt(manifest) if not faults(wrong, VERSIONS[0])] == []


# One key of the object and of its spec at a time; whoever is strict there, is strict further down too.
def _misspelt(manifest: Manifest) -> list[tuple[str, Manifest]]:
    found = []
    for part in {"spec", "metadata"} & manifest.keys():
        for key in manifest[part]:
            wrong = copy.deepcopy(manifest)
            wrong[part][f"{key}s"] = wrong[part].pop(key)
            found.append((f"{part}.{key}", wrong))
    wrong = copy.deepcopy(manifest)
    wrong["specs"] = {}
    return [*found, ("specs", wrong)]


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "schemas").glob("*.json")), ids=lambda path: path.stem)
def test_our_own_schemas_are_sound_and_strict(path: Path) -> None:
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "additionalProperties" in schema


@pytest.mark.parametrize("name", ALL)
def test_all_is_of_one_namespace_and_one_label(name: str) -> None:
    for manifest in rendered(name):
        metadata = manifest["metadata"]
        if manifest["kind"] not in _CLUSTER_WIDE:
            assert metadata["namespace"] == "voice-system"
        if manifest["kind"] != "Namespace":
            assert metadata["name"] in ("splicer", "splicer-tls")
            assert metadata["labels"]["app.kubernetes.io/name"] == "splicer"


def test_there_is_one_routing_toml_and_the_same_with_tls() -> None:
    link = ROOT / "routing.toml"
    assert link.is_symlink()
    assert link.readlink() == Path("deploy/base/routing.toml")
    files = sorted(str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("routing.toml"))
    assert files == ["base/routing.toml", *_FILES.values()]
    base, tls = ((DEPLOY / path).read_text(encoding="utf-8").splitlines() for path in files)
    changed = [line for line in difflib.ndiff(base, tls) if line[0] in "+-" and line[2:] and "#" not in line]
    assert changed == [
        '- listen = "0.0.0.0:8080"',
        '+ listen = ["0.0.0.0:8080", { address = "0.0.0.0:8443", tls = "edge" }]',
        "+ [tls.edge]",
        '+ certificates = ["/certs/edge"]',
    ]


def test_the_vault_alone_has_the_certificate_that_the_listener_serves() -> None:
    manifests = rendered("gke+tls")
    spec, certificate = pod(manifests), one(manifests, "Certificate")["spec"]
    (volume,) = (volume for volume in spec["volumes"] if "secret" in volume)
    assert volume["secret"]["secretName"] == certificate["secretName"]
    assert volume["secret"]["defaultMode"] & 0o440 == 0o440
    assert not volume["secret"]["defaultMode"] & 0o007
    (mount,) = (mount for mount in vault(manifests)["volumeMounts"] if mount["name"] == volume["name"])
    assert mount["readOnly"]
    assert "subPath" not in mount
    assert volume["name"] not in {mount["name"] for mount in edge(manifests)["volumeMounts"]}
    assert vault(manifests)["args"] == [*vault(rendered("gke"))["args"], "--tls"]
    read = config(manifests)
    (listener,) = (listener for listener in read.server.listen if listener.tls)
    assert listener.address.port == port_named(edge(manifests), "https")
    assert [files.folder for files in read.tls[str(listener.tls)].certificates] == [mount["mountPath"]]
    assert set(certificate["dnsNames"]) == {host for route in read.routes for host in route.hosts}
    (entry,) = (service for service in each(manifests, "Service") if service["spec"]["type"] == "LoadBalancer")
    assert [port["targetPort"] for port in entry["spec"]["ports"]] == ["https"]
    assert entry["spec"]["selector"] == one(manifests, "Service")["spec"]["selector"]


@pytest.mark.parametrize("name", ALL)
def test_the_configmap_has_it_whole_and_it_is_right(name: str, tmp_path: Path) -> None:
    data = one(rendered(name), "ConfigMap")["data"]
    text = (DEPLOY / _FILES.get(name, "base/routing.toml")).read_text(encoding="utf-8")
    assert data == {"routing.toml": text}
    path = tmp_path / "routing.toml"
    path.write_text(data["routing.toml"], encoding="utf-8")
    read_config(path, environment(rendered(name)))


# With a hash in its name, an edit of the file would roll the pods.
@pytest.mark.parametrize("name", ALL)
def test_the_pod_mounts_it_under_a_name_that_stays(name: str) -> None:
    (volume,) = (volume for volume in pod(rendered(name))["volumes"] if "configMap" in volume)
    assert volume["configMap"] == {"name": "splicer"}
    assert one(rendered(name), "ConfigMap")["metadata"]["name"] == "splicer"


@pytest.mark.parametrize("name", ALL)
def test_it_may_ask_for_endpoints_and_nothing_else(name: str) -> None:
    manifests = rendered(name)
    account = one(manifests, "ServiceAccount")["metadata"]
    assert pod(manifests)["serviceAccountName"] == account["name"]
    rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    assert one(manifests, "Role")["rules"] == [rule]
    binding = one(manifests, "RoleBinding")
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "splicer"}
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    assert binding["subjects"] == [subject]
    assert each(manifests, "ClusterRole") == []


# A Role is of one namespace: each that discovery asks about needs its own.
@pytest.mark.parametrize("name", ALL)
def test_it_may_ask_about_each_service_of_routing_toml(name: str) -> None:
    services = [upstream.service for upstream in config(rendered(name)).upstreams.values() if upstream.service]
    roles = {role["metadata"]["namespace"] for role in each(rendered(name), "Role")}
    assert services
    assert {service.namespace for service in services} <= roles
