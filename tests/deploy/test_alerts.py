"""The Prometheus rules: sound by our own judgement, and by promtool's where there is one."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.deploy.queries import faults, labels_in, labels_of

_DIRECTORY = Path(__file__).parents[2] / "deploy/prometheus"
_RULES = _DIRECTORY / "alerts.yml"
_TESTS = _DIRECTORY / "alerts_test.yml"
_FILE: dict[str, Any] = yaml.safe_load(_RULES.read_text())
_GROUPS: list[dict[str, Any]] = _FILE["groups"]
_ALERTS: list[dict[str, Any]] = [rule for group in _GROUPS for rule in group["rules"]]
_EACH = [pytest.param(alert, id=alert["alert"]) for alert in _ALERTS]
_REQUIRED = {
    "SplicerFallbacksRising",
    "SplicerNoEndpoint",
    "SplicerReloadFailed",
    "SplicerWorkerRestartLoop",
    "SplicerDrainStuck",
}

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (of Prometheus) is not installed")


# https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/#rule_group
def test_the_file_is_shaped_as_prometheus_wants_it() -> None:
    assert _FILE.keys() == {"groups"}
    assert all(group.keys() == {"name", "rules"} for group in _GROUPS)
    for names in ([group["name"] for group in _GROUPS], [alert["alert"] for alert in _ALERTS]):
        assert [name for name, times in Counter(names).items() if times > 1] == []
    assert {alert["alert"] for alert in _ALERTS} >= _REQUIRED


@pytest.mark.parametrize("alert", _EACH)
def test_an_alert_is_complete(alert: dict[str, Any]) -> None:
    assert alert.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert promql_parser.parse_duration(alert["for"]).total_seconds() > 0
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"].keys() == {"summary", "description"}
    assert all(alert["annotations"].values())


@pytest.mark.parametrize("alert", _EACH)
def test_its_query_is_sound_and_its_texts_speak_of_labels_that_it_has(alert: dict[str, Any]) -> None:
    assert faults(alert["expr"]) == []
    for text in alert["annotations"].values():
        assert labels_in(text) <= labels_of(alert["expr"])


@pytest.mark.parametrize("alert", _EACH)
def test_promtool_is_shown_it_both_firing_and_silent(alert: dict[str, Any]) -> None:
    suite = yaml.safe_load(_TESTS.read_text())
    cases = [case for test in suite["tests"] for case in test["alert_rule_test"] if case["alertname"] == alert["alert"]]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}


@promtool
@pytest.mark.parametrize(("verb", "file"), [("check", _RULES), ("test", _TESTS)], ids=["check", "test"])
def test_promtool_agrees(verb: str, file: Path) -> None:
    done = subprocess.run(
        ["promtool", verb, "rules", file.name], cwd=file.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
