"""Each object of each kustomization, by the schemas of every Kubernetes that it may meet."""

from __future__ import annotations

import copy
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
    environment,
    faults,
    one,
    pod,
    rendered,
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
}
_CLUSTER_WIDE = {"PriorityClass", "Namespace"}


@pytest.mark.parametrize("name", ALL)
def test_it_renders_each_kind_once(name: str) -> None:
    assert sorted(manifest["kind"] for manifest in rendered(name)) == sorted(_CONTENTS[name])


@pytest.mark.parametrize(
    ("name", "version"),
    [*(("gke", version) for version in VERSIONS), *((name, VERSIONS[-1]) for name in ALL if name != "gke")],
)
def test_kubernetes_takes_it(name: str, version: str) -> None:
    assert [fault for manifest in rendered(name) for fault in faults(manifest, version)] == []


@pytest.mark.parametrize("kind", sorted(_KINDS | {"ScaledObject"}))
def test_a_misspelt_key_does_not_pass(kind: str) -> None:
    manifest = one(rendered("gke+keda" if kind == "ScaledObject" else "gke"), kind)
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
            assert (metadata["name"], metadata["labels"]["app.kubernetes.io/name"]) == ("splicer", "splicer")


def test_there_is_one_routing_toml() -> None:
    link = ROOT / "routing.toml"
    assert link.is_symlink()
    assert link.readlink() == Path("deploy/base/routing.toml")
    assert [path.relative_to(DEPLOY) for path in DEPLOY.rglob("routing.toml")] == [Path("base/routing.toml")]


@pytest.mark.parametrize("name", ALL)
def test_the_configmap_has_it_whole_and_it_is_right(name: str, tmp_path: Path) -> None:
    data = one(rendered(name), "ConfigMap")["data"]
    assert data == {"routing.toml": (ROOT / "routing.toml").read_text(encoding="utf-8")}
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
