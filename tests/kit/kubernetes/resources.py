"""The documents in which an API server says what it has: kubectl and kr8s read them before anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Thing = dict[str, Any]
Plurals = Mapping[str, Mapping[str, str]]  # "apps/v1" -> {"deployments": "Deployment"}

_CLUSTER_WIDE = {"Namespace", "Node", "PriorityClass"}
_VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.2", "platform": "linux/amd64"}


def document(path: str, plurals: Plurals) -> Thing | None:
    """What is at a path without a final slash; None if it is none of these documents."""
    if path == "/version":
        return dict(_VERSION)
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [_group(version) for version in plurals if "/" in version]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    version = path.removeprefix("/api/").removeprefix("/apis/")
    if version == path or version not in plurals:
        return None
    resources = [_resource(plural, kind) for plural, kind in plurals[version].items()]
    if version == "v1" and "pods" in plurals[version]:
        resources.append(_resource("pods/eviction", "Eviction") | {"group": "policy", "version": "v1"})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def _group(version: str) -> Thing:
    name, _, number = version.partition("/")
    offered = {"groupVersion": version, "version": number}
    return {"name": name, "versions": [offered], "preferredVersion": offered}


def _resource(plural: str, kind: str) -> Thing:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    return {"name": plural, "kind": kind, "namespaced": kind not in _CLUSTER_WIDE, "verbs": verbs, "singularName": ""}
