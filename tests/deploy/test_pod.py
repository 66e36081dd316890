"""The pod: one vault and one edge that find each other, end in time, and may do nothing else."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
import typer
from typer.core import TyperGroup

from splicer.cli.app import app
from tests.deploy.manifests import (
    ALL,
    DEPLOYED,
    Manifest,
    config,
    each,
    edge,
    one,
    pod,
    port_named,
    pre_stop,
    rendered,
    vault,
)

_MARGIN_SECONDS = 30  # seconds for what a drain closes at its end, and for the vault after it
_MAX_SECONDS = 3600  # seconds that GKE's node upgrades and Google's load balancers grant a pod for its end
_SICK_TIMEOUT = 5  # seconds at most for one that is killed

pytestmark = pytest.mark.parametrize("name", ALL)


def _option(container: Manifest, name: str) -> str:
    """The value that follows an option among a container's arguments."""
    args: list[str] = container["args"]
    return args[args.index(name) + 1]


def _mounted(container: Manifest, name: str) -> PurePosixPath:
    """Where a container sees a volume."""
    (path,) = (mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == name)
    return PurePosixPath(path)


def _volume(name: str, source: str) -> Manifest:
    (found,) = (volume for volume in pod(rendered(name))["volumes"] if source in volume)
    return dict(found)


def test_the_program_takes_the_arguments(name: str) -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    for container in (edge(rendered(name)), vault(rendered(name))):
        with command.make_context("splicer", list(container["args"])) as outer:
            name_of, found, rest = command.resolve_command(outer, list(container["args"]))
            assert found is not None
            found.make_context(name_of, rest, parent=outer).close()
    assert edge(rendered(name))["args"][0] == "run"
    assert vault(rendered(name))["args"][0] == "vault"


def test_both_speak_of_one_socket_in_one_volume(name: str) -> None:
    socket = PurePosixPath(_option(edge(rendered(name)), "--vault"))
    assert socket == PurePosixPath(_option(vault(rendered(name)), "--socket"))
    shared = _volume(name, "emptyDir")
    assert shared["emptyDir"]["medium"] == "Memory"
    assert shared["emptyDir"]["sizeLimit"]
    for container in (edge(rendered(name)), vault(rendered(name))):
        assert _mounted(container, shared["name"]) == socket.parent


def test_the_edge_watches_a_file_that_changes(name: str) -> None:
    container = edge(rendered(name))
    path = PurePosixPath(_option(container, "-c"))
    volume = _volume(name, "configMap")
    assert path.parent == _mounted(container, volume["name"])
    assert path.name in one(rendered(name), "ConfigMap")["data"]
    assert "items" not in volume["configMap"]
    assert "--watch" in container["args"]
    for mount in container["volumeMounts"] + vault(rendered(name))["volumeMounts"]:
        assert not {"subPath", "subPathExpr"} & mount.keys()


# A container that is started again in a pod finds what it kept there: the volume is the pod's.
def test_the_last_good_file_outlives_the_container(name: str) -> None:
    container = edge(rendered(name))
    kept = PurePosixPath(_option(container, "--last-good"))
    assert kept.parent == _mounted(container, _volume(name, "emptyDir")["name"])
    (mount,) = (mount for mount in container["volumeMounts"] if mount["mountPath"] == str(kept.parent))
    assert not mount.get("readOnly")
    assert kept != PurePosixPath(_option(container, "--vault"))


# Whoever has it can list endpoints: the vault, which holds all calls, needs none.
def test_the_token_is_in_the_edge_alone(name: str) -> None:
    spec = pod(rendered(name))
    assert spec["automountServiceAccountToken"] is False
    assert one(rendered(name), "ServiceAccount")["automountServiceAccountToken"] is False
    volume = _volume(name, "projected")
    settings = config(rendered(name)).kubernetes
    directory = _mounted(edge(rendered(name)), volume["name"])
    token, ca = volume["projected"]["sources"]
    assert settings.api == "in-cluster"
    assert PurePosixPath(settings.token_file) == directory / token["serviceAccountToken"]["path"]
    assert token["serviceAccountToken"].get("audience") is None
    [item] = ca["configMap"]["items"]
    assert (ca["configMap"]["name"], item["key"]) == ("kube-root-ca.crt", "ca.crt")
    assert PurePosixPath(settings.ca_file) == directory / item["path"]
    assert volume["name"] not in [mount["name"] for mount in vault(rendered(name))["volumeMounts"]]


def test_the_vault_is_a_sidecar_that_is_there_first(name: str) -> None:
    container = vault(rendered(name))
    assert container["restartPolicy"] == "Always"
    assert container["startupProbe"]["exec"]["command"] == ["test", "-S", _option(container, "--socket")]


def test_both_are_the_same_image(name: str) -> None:
    assert edge(rendered(name))["image"] == vault(rendered(name))["image"]
    if name.partition("+")[0] != "base":  # an overlay's; the base knows no registry
        tag = edge(rendered(name))["image"].rpartition(":")[2]
        assert tag not in ("", "latest", "splicer")


def test_its_ports_are_those_of_routing_toml(name: str) -> None:
    container, server = edge(rendered(name)), config(rendered(name)).server
    names = sorted(port["name"] for port in container["ports"])
    assert names == (["http", "https", "metrics"] if name == "gke+tls" else ["http", "metrics"])
    (listen,) = (listen for listen in server.listen if listen.tls is None)
    assert server.metrics is not None
    assert (listen.address.host, listen.address.port) == ("0.0.0.0", port_named(container, "http"))
    assert (server.metrics.host, server.metrics.port) == ("0.0.0.0", port_named(container, "metrics"))
    assert server.admin is not None
    assert server.admin.host == "127.0.0.1"


# What routing.toml answers on `http` is in test_traffic.py, beside the load balancer's own question.
def test_the_probes_ask_the_port_where_the_answer_is(name: str) -> None:
    asked = {
        probe: (asked["httpGet"]["port"], asked["httpGet"]["path"])
        for probe, asked in edge(rendered(name)).items()
        if probe.endswith("Probe")
    }
    assert asked == {
        "startupProbe": ("http", "/ready"),
        "readinessProbe": ("http", "/ready"),
        "livenessProbe": ("metrics", "/healthz"),
    }


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe"])
def test_a_sick_edge_is_not_drained(name: str, probe: str) -> None:
    assert edge(rendered(name))[probe]["terminationGracePeriodSeconds"] <= _SICK_TIMEOUT


def test_calls_have_their_time_when_the_pod_ends(name: str) -> None:
    seconds, grace = pre_stop(rendered(name)), pod(rendered(name))["terminationGracePeriodSeconds"]
    if name in DEPLOYED:
        assert seconds >= 15
        assert seconds + config(rendered(name)).deadlines.drain + _MARGIN_SECONDS <= grace <= _MAX_SECONDS
    else:
        assert seconds < grace <= 60


def test_neither_may_do_anything_that_it_need_not(name: str) -> None:
    spec = pod(rendered(name))
    for container in (edge(rendered(name)), vault(rendered(name))):
        effective = spec["securityContext"] | container["securityContext"]
        assert effective == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & spec.keys()


# A CPU limit would throttle: every call stutters.
def test_both_have_resources(name: str) -> None:
    for container in (edge(rendered(name)), vault(rendered(name))):
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}


def test_it_is_not_moved_about(name: str) -> None:
    template = one(rendered(name), "Deployment")["spec"]["template"]
    assert template["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    if name in DEPLOYED:
        assert template["spec"]["priorityClassName"] == one(rendered(name), "PriorityClass")["metadata"]["name"]
    else:
        assert not {"priorityClassName", "topologySpreadConstraints"} & template["spec"].keys()


# By default a node that no edge may run on counts as one without an edge, and the other nodes then get no second one.
def test_edges_are_spread_over_the_nodes_on_which_they_may_run(name: str) -> None:
    rules = pod(rendered(name)).get("topologySpreadConstraints", [])
    assert [(rule["topologyKey"], rule["whenUnsatisfiable"]) for rule in rules] == (
        [("kubernetes.io/hostname", "DoNotSchedule"), ("topology.kubernetes.io/zone", "ScheduleAnyway")]
        if name in DEPLOYED
        else []
    )
    assert all(rule["nodeTaintsPolicy"] == "Honor" for rule in rules)


# Those of less value are the voice pods, which have calls.
def test_an_edge_takes_nobodys_place(name: str) -> None:
    for priority in each(rendered(name), "PriorityClass"):
        assert priority["preemptionPolicy"] == "Never"
        assert priority["value"] > 0


def test_a_rollout_adds_before_it_takes_away(name: str) -> None:
    strategy = one(rendered(name), "Deployment")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_there_are_as_many_workers_as_cpus_are_requested(name: str) -> None:
    container = edge(rendered(name))
    [cpus] = [variable for variable in container["env"] if variable["name"] == "SPLICER_CPUS"]
    assert cpus["valueFrom"] == {"resourceFieldRef": {"resource": "requests.cpu"}}
    assert "cpu" in container["resources"]["requests"]
