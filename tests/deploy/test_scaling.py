"""How many edges there are: by the autoscaler or by KEDA, to the same end; and who may take them away."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import DEPLOY, DEPLOYED, Manifest, each, edge, one, rendered
from tests.deploy.queries import faults

_METRIC = "splicer_tunnels_active"
_KEDA = [name for name in DEPLOYED if "keda" in name]
_PLAIN = [name for name in DEPLOYED if "keda" not in name]

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (of Prometheus) is not installed")
deployed = pytest.mark.parametrize("name", DEPLOYED)


def _autoscaler(name: str) -> Manifest:
    return dict(one(rendered(name), "HorizontalPodAutoscaler")["spec"])


def _scaled_object(name: str) -> Manifest:
    return dict(one(rendered(name), "ScaledObject")["spec"])


@deployed
def test_there_is_one_autoscaler(name: str) -> None:
    scalers = each(rendered(name), "HorizontalPodAutoscaler") + each(rendered(name), "ScaledObject")
    (scaler,) = scalers
    assert scaler["spec"]["scaleTargetRef"]["name"] == one(rendered(name), "Deployment")["metadata"]["name"]


# A number of replicas in the Deployment undoes the autoscaler's with every `kubectl apply`.
def test_on_gke_only_the_autoscaler_says_how_many() -> None:
    assert one(rendered("base"), "Deployment")["spec"]["replicas"] == 2
    for name in ("gke", "gke+keda"):
        assert "replicas" not in one(rendered(name), "Deployment")["spec"]


def test_at_home_there_is_one() -> None:
    assert one(rendered("local"), "Deployment")["spec"]["replicas"] == 1


@pytest.mark.parametrize("name", _PLAIN)
def test_there_are_two_at_least_and_few_go_at_once(name: str) -> None:
    spec = _autoscaler(name)
    assert 2 <= spec["minReplicas"] < spec["maxReplicas"]
    down = spec["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 1800
    assert [(policy["type"], policy["value"]) for policy in down["policies"]] == [("Pods", 1)]
    calls, cpu = spec["metrics"]
    assert calls["pods"]["metric"]["name"] == _METRIC
    assert cpu["containerResource"]["container"] == edge(rendered(name))["name"]
    assert "cpu" in edge(rendered(name))["resources"]["requests"]


@pytest.mark.parametrize("name", _KEDA)
def test_keda_wants_the_same(name: str) -> None:
    spec, model = _scaled_object(name), _autoscaler("base")
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (model["minReplicas"], model["maxReplicas"])
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == model["behavior"]
    (calls, cpu), (its_calls, its_cpu) = spec["triggers"], model["metrics"]
    assert calls["metadata"]["threshold"] == its_calls["pods"]["target"]["averageValue"]
    assert calls["metricType"] == its_calls["pods"]["target"]["type"]
    assert cpu["metadata"]["value"] == str(its_cpu["containerResource"]["target"]["averageUtilization"])
    assert cpu["metadata"]["containerName"] == its_cpu["containerResource"]["container"]
    assert cpu["metricType"] == its_cpu["containerResource"]["target"]["type"]


@pytest.mark.parametrize("name", _KEDA)
def test_its_query_is_sound(name: str) -> None:
    query = _scaled_object(name)["triggers"][0]["metadata"]["query"]
    assert _METRIC in query
    assert faults(query) == []


_LOG_INTERVAL = {"splicer_start_time_seconds": 1e9}
_BUSY = {
    **_LOG_INTERVAL,
    'splicer_tunnels_active{route="r", pod="p"}': 40,
    'splicer_tunnels_active{route="r", pod="q"}': 2,
}


# An edge that drains keeps its calls, and wants no help with them. None that could be asked is no 0: pods would go.
@promtool
@pytest.mark.parametrize("name", _KEDA)
@pytest.mark.parametrize(
    ("edges", "calls"),
    [
        ([_LOG_INTERVAL, _LOG_INTERVAL], 0),
        ([_BUSY, _LOG_INTERVAL], 42),
        ([_BUSY, {**_BUSY, "splicer_draining": 0}], 84),
        ([_BUSY, {**_BUSY, "splicer_draining": 1}], 42),
        ([{**_BUSY, "splicer_draining": 1}], 0),
        ([], None),
    ],
)
def test_what_its_query_counts(name: str, edges: list[dict[str, float]], calls: int | None, tmp_path: Path) -> None:
    trigger = _scaled_object(name)["triggers"][0]["metadata"]
    series = [
        {"series": _on(f"edge-{number}", metric), "values": str(value)}
        for number, its in enumerate(edges)
        for metric, value in its.items()
    ]
    expected = [] if calls is None else [{"labels": "{}", "value": calls}]
    asked = {"expr": trigger["query"], "eval_time": "0m", "exp_samples": expected}
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"tests": [{"input_series": series, "promql_expr_test": [asked]}]}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert trigger["ignoreNullValues"] == "false"


def _on(instance: str, metric: str) -> str:
    """A metric's series at one edge."""
    name, _, labels = metric.rstrip("}").partition("{")
    return f'{name}{{job="splicer", instance="{instance}"{", " if labels else ""}{labels}}}'


# Templates of prometheus-adapter: docs/config.md there.
def test_the_adapter_makes_the_metric_of_what_there_is() -> None:
    (rule,) = yaml.safe_load((DEPLOY / "prometheus/adapter.yml").read_text())["rules"]["custom"]
    assert rule["name"]["as"] == _METRIC
    assert rule["resources"]["overrides"] == {
        "namespace": {"resource": "namespace"},
        "instance": {"resource": "pod"},
    }
    query = rule["metricsQuery"].replace("<<.GroupBy>>", "instance").replace("<<.LabelMatchers>>", 'instance=~"a|b"')
    assert "<<" not in query
    assert _METRIC in query
    assert faults(query) == []
    assert faults(rule["seriesQuery"]) == []


@deployed
def test_one_at_a_time_may_be_evicted(name: str) -> None:
    spec = one(rendered(name), "PodDisruptionBudget")["spec"]
    assert spec["maxUnavailable"] == 1
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
