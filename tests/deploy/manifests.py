"""The kustomizations, rendered; and what is wrong with an object, judged by schemas."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import kubernetes_validate
import pytest
import yaml
from referencing import Registry, Resource

from splicer.config.load import load
from splicer.config.schema import Config

Manifest = dict[str, Any]
Manifests = tuple[Manifest, ...]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RENDERINGS = {
    "base": ("base",),
    "gke": ("overlays/gke",),
    "local": ("overlays/local",),
    "base+keda": ("base", "components/keda"),
    "gke+keda": ("overlays/gke", "components/keda"),
    "gke+tls": ("overlays/gke", "components/tls"),
}
DEPLOYED = [name for name in RENDERINGS if name != "local"]  # those that carry callers
ALL = list(RENDERINGS)

_SCHEMAS = Path(__file__).parent / "schemas"
_TAME_VOLUMES = {"configMap", "downwardAPI", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
_OLDEST = (1, 29)  # the first with native sidecars
VERSIONS = sorted(
    {
        version
        for version in map(kubernetes_validate.utils.major_minor, kubernetes_validate.utils.all_versions())
        if tuple(map(int, version.split("."))) >= _OLDEST
    },
    key=lambda version: int(version.partition(".")[2]),
)


@cache
def rendered(name: str) -> Manifests:
    """What `kubectl apply -k` would send."""
    base, *components = (DEPLOY / part for part in RENDERINGS[name])
    if not components:
        return _build(base)
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory).resolve()
        overlay = {
            "resources": [os.path.relpath(base, here)],
            "components": [os.path.relpath(component, here) for component in components],
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        return _build(here)


def _build(directory: Path) -> Manifests:
    ran = subprocess.run([*_renderer(), str(directory)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return tuple(yaml.safe_load_all(ran.stdout))


def _renderer() -> list[str]:
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    pytest.skip("neither kustomize nor kubectl is installed")


def one(manifests: Manifests, kind: str) -> Manifest:
    """The only object of a kind, or of several the one that is called as all others are."""
    found = each(manifests, kind)
    (single,) = [manifest for manifest in found if manifest["metadata"]["name"] == "splicer"] or found
    return single


def each(manifests: Manifests, kind: str) -> list[Manifest]:
    """All objects of a kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pod(manifests: Manifests) -> Manifest:
    """The pod's spec."""
    spec: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def edge(manifests: Manifests) -> Manifest:
    """The container of `splicer run`."""
    (container,) = pod(manifests)["containers"]
    return dict(container)


def vault(manifests: Manifests) -> Manifest:
    """The container of `splicer vault`."""
    (container,) = pod(manifests)["initContainers"]
    return dict(container)


def pre_stop(manifests: Manifests) -> int:
    """Seconds for which the edge goes on as if nothing were when its pod is told to end."""
    program, seconds = edge(manifests)["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    return int(seconds)


def port_named(container: Manifest, name: str) -> int:
    """A container's port."""
    (port,) = (port["containerPort"] for port in container["ports"] if port["name"] == name)
    return int(port)


def environment(manifests: Manifests) -> dict[str, str]:
    """What the edge's container has in its environment."""
    return {variable["name"]: variable.get("value", "") for variable in edge(manifests).get("env", [])}


def config(manifests: Manifests) -> Config:
    """The ConfigMap's routing.toml, as that container reads it."""
    (text,) = one(manifests, "ConfigMap")["data"].values()
    return load(text, environ=environment(manifests))


def faults(manifest: Manifest, version: str) -> list[str]:
    """One line for each thing that a Kubernetes of this version, or a resource's own definition, does not know."""
    own = _SCHEMAS / f"{manifest['kind'].lower()}.{manifest['apiVersion'].replace('/', '_')}.json"
    if not own.exists():
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as fault:
            return [str(fault.message)]
        return []
    validator = jsonschema.Draft202012Validator(json.loads(own.read_text()), registry=_registry())
    return [fault.message for fault in validator.iter_errors(manifest)]


def unrestricted(spec: Manifest) -> list[str]:
    """What Pod Security's profile `restricted` forbids in a pod of ours: its list, but for what we never write.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    """
    found = [f"volume {volume['name']}" for volume in spec.get("volumes", ()) if not _TAME_VOLUMES & volume.keys()]
    found += [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        own = spec.get("securityContext", {}) | container.get("securityContext", {})
        wanted = {
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "privileged": not own.get("privileged"),
            "runAsNonRoot": own.get("runAsNonRoot") is True,
            "runAsUser": own.get("runAsUser") != 0,
            "seccompProfile": own.get("seccompProfile") == {"type": "RuntimeDefault"},
        }
        found += [f"{container['name']}: {key}" for key, right in wanted.items() if not right]
    return found


@cache
def _registry() -> Registry[Any]:
    return Registry().with_resources(_shared())


def _shared() -> Iterator[tuple[str, Resource[Any]]]:
    for name in ("metadata", "labels"):
        contents = json.loads((_SCHEMAS / f"{name}.json").read_text())
        yield contents["$id"], Resource.from_contents(contents)
