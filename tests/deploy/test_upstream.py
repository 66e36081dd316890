"""The custom resources by the operators' own definitions, which npm has: `npm ci --prefix tests/deploy/upstream`."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.manifests import ALL, Manifest, one, rendered

_HERE = Path(__file__).parent / "upstream"
_CUSTOM = {"BackendConfig": "gke", "Certificate": "gke+tls", "PodMonitor": "gke", "ScaledObject": "gke+keda"}

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (_HERE / "node_modules").exists(),
    reason="needs node, and `npm ci --prefix tests/deploy/upstream`",
)


def _faults(manifests: list[Manifest]) -> list[str]:
    command = ["node", str(_HERE / "validate.mjs")]
    ran = subprocess.run(command, input=json.dumps(manifests), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize("name", ALL)
def test_the_operators_take_it(name: str) -> None:
    assert _faults([manifest for manifest in rendered(name) if manifest["kind"] in _CUSTOM]) == []


def test_these_are_judged() -> None:
    assert all(one(rendered(name), kind) for kind, name in _CUSTOM.items())


@pytest.mark.parametrize(
    ("kind", "spoil", "word"),
    [
        ("BackendConfig", lambda spec: spec.update(timeoutSec="1d"), "timeoutSec"),
        ("Certificate", lambda spec: spec.pop("issuerRef"), "issuerRef"),
        ("Certificate", lambda spec: spec["privateKey"].update(rotationPolicy="Sometimes"), "rotationPolicy"),
        ("PodMonitor", lambda spec: spec["podMetricsEndpoints"][0].update(honorLabels="yes"), "honorLabels"),
        ("PodMonitor", lambda spec: spec.pop("selector"), "selector"),
        ("ScaledObject", lambda spec: spec["scaleTargetRef"].pop("name"), "name"),
    ],
)
def test_what_is_wrong_does_not_pass(kind: str, spoil: Callable[[Any], object], word: str) -> None:
    wrong = copy.deepcopy(one(rendered(_CUSTOM[kind]), kind))
    spoil(wrong["spec"])
    (fault,) = _faults([wrong])
    assert word in fault
