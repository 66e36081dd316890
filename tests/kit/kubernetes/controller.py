"""What the endpointslice controller does: pods in, EndpointSlices out (kubernetes/endpointslice, reconciler.go)."""

from __future__ import annotations

import random
import string
import uuid
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from attrs import define, field, frozen

from tests.kit.kubernetes.resources import Thing
from tests.kit.kubernetes.storage import Storage

MOST = 100  # endpoints in one slice (--max-endpoints-per-slice)
SERVICE = "kubernetes.io/service-name"
_NAME_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789"


@frozen
class Pod:
    """A pod behind a Service.

    Args:
        name: of a StatefulSet's or a Deployment's pod.
        address: its IP; `second`: that of the other family.
        ready: its Ready condition.
        terminating: it is being deleted.
        hostname: whether the Service is the one that governs the pod's StatefulSet.
        ports: of the Service's ports those that this pod has, with their numbers; None: all, as the Service has them.
        uid: None: made of name and address, so a pod that is made again with another address is another one.
    """

    name: str
    address: str
    second: str | None = None
    ready: bool = True
    terminating: bool = False
    hostname: bool = True
    zone: str | None = "a"
    node: str | None = "node-1"
    ports: Mapping[str, int] | None = None
    uid: str | None = None


@define
class Controller:
    """Makes the slices of Services in a storage."""

    storage: Storage
    most: int = MOST
    _random: random.Random = field(factory=lambda: random.Random(2))

    def sync(
        self,
        namespace: str,
        service: str,
        pods: Sequence[Pod],
        ports: Mapping[str, int],
        *,
        publish_not_ready: bool = False,
        ip_families: Sequence[int] = (4, 6),
    ) -> None:
        """Make the slices say what the pods are: each changed slice is one event.

        Args:
            namespace: of the Service and its pods.
            service: the Service; new ones get a slice even without pods.
            pods: all that have an IP and have not ended.
            ports: the target ports by the Service's names for them; none, as a headless Service may have it.
            publish_not_ready: the Service's `publishNotReadyAddresses`.
            ip_families: the Service's.
        """
        wanted = _groups(namespace, pods, ports, publish_not_ready, ip_families)
        slices = self.slices(namespace, service)
        placeholders = [each for each in slices if _group_of(each) is None]
        empty = []
        for group in dict.fromkeys([*filter(None, map(_group_of, slices)), *wanted]):
            own = [each for each in slices if _group_of(each) == group]
            if not own and placeholders and placeholders[0]["addressType"] == group[0]:
                own = [placeholders.pop()]
            empty += self._fill(own, wanted.get(group, []), group, namespace, service)
        self._tidy(empty + placeholders, namespace, service)

    def remove(self, namespace: str, service: str) -> None:
        """Delete the Service."""
        for each in self.slices(namespace, service):
            self.storage.delete(namespace, each["metadata"]["name"])

    def copy(self, namespace: str, service: str, pod: str) -> None:
        """Put a pod into a second slice: the first of two steps that move it; `sync` does the other."""
        for each in self.slices(namespace, service):
            for endpoint in each["endpoints"] or ():
                if endpoint["targetRef"]["name"] == pod:
                    made = self._new(namespace, service, each["addressType"])
                    self.storage.put(made | {"endpoints": [endpoint], "ports": each["ports"]})
                    return
        raise LookupError(pod)

    def slices(self, namespace: str, service: str) -> list[Thing]:
        things = self.storage.objects(namespace)
        return [each for each in things if each["metadata"]["labels"].get(SERVICE) == service]

    def _fill(
        self, slices: list[Thing], endpoints: list[Thing], group: _Group, namespace: str, service: str
    ) -> list[Thing]:
        """Put a group's endpoints into slices: where they are, else where there is room; return the empty ones."""
        family, ports = group
        waiting = {endpoint["targetRef"]["uid"]: endpoint for endpoint in endpoints}
        filled: list[tuple[Thing, list[Thing]]] = []
        for each in reversed(slices):  # who stands in two slices stays in the later one
            there = [old["targetRef"]["uid"] for old in each["endpoints"] or ()]
            filled.append((each, [waiting.pop(uid) for uid in there if uid in waiting]))
        while len(waiting) > sum(max(0, self.most - len(stay)) for _, stay in filled):
            filled.append((self._new(namespace, service, family), []))
        for _, stay in filled:
            while waiting and len(stay) < self.most:
                stay.append(waiting.pop(next(iter(waiting))))
        said = [{"name": name, "protocol": "TCP", "port": number} for name, number in ports]
        for each, stay in filled:
            if stay:
                self.storage.put(each | {"endpoints": stay, "ports": said or None})
        return [each for each, stay in filled if not stay]

    def _tidy(self, empty: list[Thing], namespace: str, service: str) -> None:
        """Slices without endpoints go; a Service without endpoints keeps one, the placeholder."""
        if len(empty) == len(self.slices(namespace, service)):
            placeholder = empty.pop() if empty else self._new(namespace, service, "IPv4")
            self.storage.put(placeholder | {"endpoints": None, "ports": None})
        for each in empty:
            self.storage.delete(namespace, each["metadata"]["name"])

    def _new(self, namespace: str, service: str, family: str) -> Thing:
        name = f"{service}-{''.join(self._random.choices(_NAME_CHARACTERS, k=5))}"
        metadata = {
            "name": name,
            "generateName": f"{service}-",
            "namespace": namespace,
            "uid": str(uuid.UUID(int=self._random.getrandbits(128))),
            "resourceVersion": "",
            "generation": 0,
            "creationTimestamp": "2026-11-29T12:24:16Z",
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                SERVICE: service,
                "service.kubernetes.io/headless": "",
            },
            "ownerReferences": [_owner(service)],
            "managedFields": [_MANAGED],
        }
        return {"metadata": metadata, "addressType": family, "endpoints": None, "ports": None}


_Group = tuple[str, tuple[tuple[str, int], ...]]


def _groups(
    namespace: str, pods: Iterable[Pod], ports: Mapping[str, int], publish: bool, families: Sequence[int]
) -> dict[_Group, list[Thing]]:
    groups: dict[_Group, list[Thing]] = {}
    for pod in pods:
        own = tuple((ports if pod.ports is None else pod.ports).items())
        for address in filter(None, (pod.address, pod.second)):
            version = ip_address(address).version
            if version in families:
                endpoint = _endpoint(namespace, pod, address, publish)
                groups.setdefault((f"IPv{version}", own), []).append(endpoint)
    return groups


def _group_of(slice_: Thing) -> _Group | None:
    """None for a placeholder: it can become a slice of any group."""
    if not slice_["endpoints"]:
        return None
    return slice_["addressType"], tuple((port["name"], port["port"]) for port in slice_["ports"] or ())


def _endpoint(namespace: str, pod: Pod, address: str, publish: bool) -> Thing:
    """podToEndpoint: `ready = publishNotReadyAddresses || (serving && !terminating)`; what is unset is left out."""
    uid = pod.uid or str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{pod.name} {pod.address} {pod.second}"))
    ready = publish or (pod.ready and not pod.terminating)
    endpoint: dict[str, Any] = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": pod.ready, "terminating": pod.terminating},
        "hostname": pod.name if pod.hostname else None,
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod.name, "uid": uid},
        "nodeName": pod.node,
        "zone": pod.zone,
    }
    return {key: value for key, value in endpoint.items() if value is not None}


def _owner(service: str) -> Thing:
    uid = str(uuid.uuid5(uuid.NAMESPACE_DNS, service))
    owner = {"apiVersion": "v1", "kind": "Service", "name": service, "uid": uid}
    return owner | {"controller": True, "blockOwnerDeletion": True}


# Real objects carry it: most of their size.
_MANAGED: Thing = {
    "manager": "kube-controller-manager",
    "operation": "Update",
    "apiVersion": "discovery.k8s.io/v1",
    "time": "2026-11-29T12:24:16Z",
    "fieldsType": "FieldsV1",
    "fieldsV1": {
        "f:addressType": {},
        "f:endpoints": {},
        "f:metadata": {
            "f:annotations": {".": {}, "f:endpoints.kubernetes.io/last-change-trigger-time": {}},
            "f:generateName": {},
            "f:labels": {".": {}} | {f"f:label-{letter}": {} for letter in string.ascii_lowercase},
            "f:ownerReferences": {".": {}},
        },
        "f:ports": {},
    },
}
