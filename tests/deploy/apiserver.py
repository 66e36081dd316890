"""As much of a Kubernetes API server as kubectl needs to apply, run and drain: it keeps what it is sent.

What it adds and leaves out when it keeps an object is what a kube-apiserver 1.36 was seen to do where kubectl can't
tell that from a change: in lists that are replaced as a whole, and with a key that is not kept at all.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import define, field

from tests.kit.kubernetes.resources import Thing, document

_PLURALS = {
    "v1": {"configmaps": "ConfigMap", "namespaces": "Namespace", "nodes": "Node", "pods": "Pod"}
    | {"serviceaccounts": "ServiceAccount", "services": "Service"},
    "apps/v1": {"daemonsets": "DaemonSet", "deployments": "Deployment"},
    "autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
    "cert-manager.io/v1": {"certificates": "Certificate"},
    "cloud.google.com/v1": {"backendconfigs": "BackendConfig"},
    "keda.sh/v1alpha1": {"scaledobjects": "ScaledObject"},
    "monitoring.coreos.com/v1": {"podmonitors": "PodMonitor"},
    "networking.k8s.io/v1": {"ingresses": "Ingress", "networkpolicies": "NetworkPolicy"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "rbac.authorization.k8s.io/v1": {"rolebindings": "RoleBinding", "roles": "Role"},
    "scheduling.k8s.io/v1": {"priorityclasses": "PriorityClass"},
}


@define
class ApiServer:
    """`objects` by path; `evicted` are the paths of pods that were."""

    objects: dict[str, Thing] = field(factory=dict)
    evicted: list[str] = field(factory=list)
    url: str = ""

    def kubectl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run kubectl against this server, and no other configuration."""
        command = ["kubectl", "--kubeconfig=/dev/null", f"--server={self.url}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def answer(self, method: str, target: str, body: Thing) -> tuple[int, Thing]:
        """The status and the object for one request."""
        url = urlsplit(target)
        path = url.path.rstrip("/")
        if (discovered := document(path, _PLURALS)) is not None:
            return 200, discovered
        if method == "POST" and path.endswith("/eviction"):
            pod = path.removesuffix("/eviction")
            self.evicted.append(pod)
            del self.objects[pod]
            return 201, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            self.objects[path] = _kept(body)
            return 201, self.objects[path]
        if method == "PATCH":
            self.objects[path] |= {"spec": self.objects[path].get("spec", {}) | body.get("spec", {})}
        if path in self.objects:
            return 200, self.objects[path]
        if path.endswith("/pods") and "fieldSelector" in parse_qs(url.query):
            pods = [thing for at, thing in self.objects.items() if "/pods/" in at]
            return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}
        return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """A server that is empty; without kubectl, nobody could ask it."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    server = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, thing = server.answer(self.command, self.path, json.loads(body or b"{}"))
            data = json.dumps(thing).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - the base class calls them so

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{listener.server_port}"
        yield server
        listener.shutdown()
        thread.join()


def _kept(thing: Thing) -> Thing:
    kept: Thing = json.loads(json.dumps(thing))
    if kept["kind"] == "NetworkPolicy":
        for rule in (*kept["spec"].get("ingress", ()), *kept["spec"].get("egress", ())):
            for port in rule.get("ports", ()):
                port.setdefault("protocol", "TCP")
    if kept["kind"] == "PodMonitor":
        for endpoint in kept["spec"]["podMetricsEndpoints"]:
            for rule in endpoint.get("relabelings", ()):
                rule.setdefault("action", "replace")
    if kept["kind"] == "PriorityClass" and not kept.get("globalDefault"):
        kept.pop("globalDefault", None)
    return kept
