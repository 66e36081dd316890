"""What kubectl itself does with the manifests and the runbook's commands, as far as it can without a cluster."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy.apiserver import ApiServer, api_server
from tests.deploy.manifests import ALL, DEPLOY, VERSIONS, faults, one, pod, rendered, unrestricted
from tests.kit.kubernetes.resources import Thing

_TEXT = (DEPLOY / "README.md").read_text(encoding="utf-8")
_DEFINITIONS = _TEXT.partition("```sh\n")[2].partition("```")[0]
_CODE = re.findall(r"^```sh\n(.*?)^```$|`([^`\n]+)`", _TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture
def cluster() -> Iterator[ApiServer]:
    with api_server() as server:
        yield server


# ---- apply ----

# Its selector is replaced as a whole (`patchStrategy` of policy/v1), and so is sent every time.
_ALWAYS_SENT = "poddisruptionbudget.policy/splicer configured"


def _apply(cluster: ApiServer, manifests: list[Thing], directory: Path) -> list[str]:
    path = directory / "all.yaml"
    path.write_text(yaml.safe_dump_all(manifests))
    done = cluster.kubectl("apply", "--validate=false", "-f", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ALL)
def test_a_second_apply_changes_nothing(name: str, cluster: ApiServer, tmp_path: Path) -> None:
    manifests = list(rendered(name))
    assert {line.split()[1] for line in _apply(cluster, manifests, tmp_path)} == {"created"}
    again = _apply(cluster, manifests, tmp_path)
    assert [line for line in again if not line.endswith(" unchanged") and line != _ALWAYS_SENT] == []
    assert len(again) == len(manifests)


def test_what_the_server_would_add_is_seen_as_a_change(cluster: ApiServer, tmp_path: Path) -> None:
    wrong = copy.deepcopy(list(rendered("gke")))
    del one(tuple(wrong), "NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["protocol"]
    del one(tuple(wrong), "PodMonitor")["spec"]["podMetricsEndpoints"][0]["relabelings"][0]["action"]
    one(tuple(wrong), "PriorityClass")["globalDefault"] = False
    _apply(cluster, wrong, tmp_path)
    configured = {line for line in _apply(cluster, wrong, tmp_path) if line.endswith(" configured")} - {_ALWAYS_SENT}
    assert {line.partition(".")[0] for line in configured} == {"networkpolicy", "podmonitor", "priorityclass"}


# ---- the runbook's commands ----


_RECORDER = """
kubectl() {
    for word in "$@"; do [ "$word" = -- ] && break; printf '%s\\0' "$word" >> commands; done
    printf '\\036' >> commands
    case "$*" in *"get pods"*"-o name") echo pod/a ;; *.nodeName*) echo node-1 ;; esac
}
command_not_found_handle() { :; }
PATH=
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The arguments of every kubectl in the runbook, as the shell hands them over; without what a container gets."""
    directory = tmp_path_factory.mktemp("runbook")
    # Only these: others name programs by their path, and would run here.
    ours = [code for block, span in _CODE if re.search(r"\bk(ubectl)? +[a-z-]", code := block or span)]
    assert not [code for code in ours if re.search(r"^ *(sudo +)?/", code, re.MULTILINE)]
    for code in ours:
        script = f"{_RECORDER}\n{_DEFINITIONS}\n{code}"
        subprocess.run(
            ["/bin/bash"], input=script, cwd=directory, capture_output=True, text=True, check=False, timeout=60
        )
    records = (directory / "commands").read_text().split("\036")[:-1]
    return [record.split("\0")[:-1] for record in dict.fromkeys(records)]


@pytest.mark.slow
def test_kubectl_knows_every_command_and_option(commands: list[list[str]]) -> None:
    assert len(commands) > 20
    with api_server():  # or there is no kubectl
        for arguments in commands:
            done = subprocess.run(
                ["kubectl", *arguments, "--help"], capture_output=True, text=True, check=False, timeout=60
            )
            assert (done.returncode, done.stderr) == (0, ""), arguments


def _one(commands: list[list[str]], verb: str) -> list[str]:
    """The options of the only command with this verb."""
    (found,) = (arguments for arguments in commands if verb in arguments)
    return found[found.index(verb) + 1 :]


def _pulling_pod(commands: list[list[str]], cluster: ApiServer) -> Thing:
    options = [option for option in _one(commands, "run") if option not in ("--rm", "-i")]
    done = cluster.kubectl("run", *options, "--dry-run=client", "-o", "json", "--", "splicer", "check")
    assert (done.returncode, done.stderr) == (0, "")
    made: Thing = json.loads(done.stdout)
    return made


def test_the_pod_that_pulls_an_image_may_run_where_only_restricted_ones_may(
    commands: list[list[str]], cluster: ApiServer
) -> None:
    made = _pulling_pod(commands, cluster)
    assert faults(made, VERSIONS[-1]) == []
    assert unrestricted(made["spec"]) == []
    (container,) = made["spec"]["containers"]
    assert (container["name"], container["command"]) == (made["metadata"]["name"], ["splicer", "check"])
    assert made["spec"]["nodeName"] == "node-1"


@pytest.mark.parametrize("name", ALL)
def test_so_may_the_edge(name: str) -> None:
    assert unrestricted(pod(rendered(name))) == []


def _node_with_an_edge(cluster: ApiServer) -> None:
    agent = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "kube-system"}}
    cluster.objects["/api/v1/nodes/NODE"] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "NODE"}}
    cluster.objects["/apis/apps/v1/namespaces/kube-system/daemonsets/agent"] = agent
    for name, namespace, owner, spec in (
        ("agent-1", "kube-system", "DaemonSet", {"containers": []}),
        ("splicer-1", "voice-system", "ReplicaSet", pod(rendered("gke"))),
    ):
        parent = {
            "apiVersion": "apps/v1",
            "kind": owner,
            "name": name.partition("-")[0],
            "uid": "1",
            "controller": True,
        }
        cluster.objects[f"/api/v1/namespaces/{namespace}/pods/{name}"] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "uid": name, "ownerReferences": [parent]},
            "spec": spec | {"nodeName": "NODE"},
            "status": {"phase": "Running"},
        }


def test_a_node_is_drained_of_its_edges(commands: list[list[str]], cluster: ApiServer) -> None:
    _node_with_an_edge(cluster)
    bare = cluster.kubectl("drain", "NODE")
    assert (bare.returncode, cluster.evicted) == (1, [])
    done = cluster.kubectl("drain", *_one([each for each in commands if "voice-system" not in each], "drain"))
    assert (done.returncode, cluster.evicted) == (0, ["/api/v1/namespaces/voice-system/pods/splicer-1"])
