"""`outlier_detection` of an upstream: values, faults and warnings."""

from __future__ import annotations

import pytest

from splicer.config.lint import warnings
from splicer.config.load import load
from splicer.config.outlier_detection import OUTLIER_DETECTION
from splicer.config.upstreams import read_upstream
from splicer.health import OutlierDetection


def read(table: object) -> OutlierDetection | list[str] | None:
    upstream, faults = read_upstream("pod", {"address": "a.test:1", "outlier_detection": table})
    return [f"{fault.key}: {fault.text}" for fault in faults] if upstream is None else upstream.outlier_detection


def test_the_defaults() -> None:
    assert read({}) == OutlierDetection()
    assert OUTLIER_DETECTION.write(OutlierDetection()) == {
        "consecutive_errors": 5,
        "statuses": [502, 503, 504],
        "base_ejection_time": "30s",
        "max_ejection_time": "5m",
        "max_ejection_percent": 50,
    }


def test_every_key() -> None:
    table = {
        "consecutive_errors": 2,
        "statuses": [],
        "base_ejection_time": "1s",
        "max_ejection_time": "1s",
        "max_ejection_percent": 100,
    }
    settings = OutlierDetection(2, frozenset(), 1.0, 1.0, 100)
    assert read(table) == settings
    assert OUTLIER_DETECTION.brief is not None
    assert OUTLIER_DETECTION.brief(settings) == "2 in a row (no answer), 1s to 1s, 100 % at most"


@pytest.mark.parametrize(
    ("table", "faults"),
    [
        (1, ["outlier_detection: must be a table, not 1"]),
        ({"consecutive_errors": 0}, ["outlier_detection.consecutive_errors: must be between 1 and 1000, not 0"]),
        ({"statuses": [404]},
         ["outlier_detection.statuses: 404 is the client's fault: 4xx is no error of a pod's"]),
        ({"statuses": [101]}, ["outlier_detection.statuses: must be between 500 and 599, not 101"]),
        ({"max_ejection_time": "10s"},
         ["outlier_detection.max_ejection_time: 10s is shorter than base_ejection_time, 30s"]),
        ({"base_ejection_time": "never"},
         ['outlier_detection.base_ejection_time: "never" would keep an endpoint out for ever; '
          'write a time, such as "30s"']),
        ({"max_ejection_percent": 101}, ["outlier_detection.max_ejection_percent: must be between 1 and 100, not 101"]),
        ({"interval": "10s", "statuses": [1]},
         ["outlier_detection.statuses: must be between 500 and 599, not 1", "outlier_detection.interval: unknown key"]),
    ],
)  # fmt: skip
def test_faults(table: object, faults: list[str]) -> None:
    assert read(table) == faults


def told(upstreams: str) -> list[str]:
    route = "[[routes]]\nname = 'a'\nregex = '^/(?<pod>.+)$'\nupstream = 'pod'\nfallback = 'any'\n"
    return [line for line in warnings(load(upstreams + route, environ={})) if "outlier_detection" in line]


def two(pod: str, every: str, name: str = "Voice.test.") -> list[str]:
    allow = 'allow = ["10.0.0.0/8"]\n'
    return told(
        f'[upstreams.pod]\naddress = "{{pod}}.voice.test:80"\n{allow}{pod}\n'
        f'[upstreams.any]\naddress = "{name}:80"\n{every}\n'
    )


ON, OTHER = "outlier_detection = {}", "outlier_detection = { consecutive_errors = 2 }"


def test_two_upstreams_that_lead_to_the_same_pods() -> None:
    assert two(ON, OTHER) == [
        "upstreams.any.outlier_detection: differs from that of upstreams.pod, which leads to the same pods: each "
        "counts by its own, and both obey what either has ejected; write the same"
    ]
    assert two(ON, ON) == two(ON, "") == two(ON, OTHER, "other.test") == []


@pytest.mark.parametrize(
    ("address", "warned"), [("10.0.0.1", True), ("one.test", True), ("two.test", False), ("a.test", False)]
)
def test_the_only_address_of_an_upstream(address: str, warned: bool) -> None:
    hosts = '[resolver.hosts]\n"one.test" = "10.0.0.1"\n"two.test" = ["10.0.0.1", "10.0.0.2"]\n'
    pod = '[upstreams.pod]\naddress = "{pod}.pods.test:80"\nallow = ["10.0.0.0/8"]\n'
    lines = told(f'{hosts}{pod}[upstreams.any]\naddress = "{address}:80"\n{ON}\n')
    fault = "upstreams.any.outlier_detection: 10.0.0.1 is the only address, so nothing else could be taken; "
    assert lines == ([fault + "leave the key out"] if warned else [])
