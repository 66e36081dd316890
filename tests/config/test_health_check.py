"""`health_check` of an upstream: values and faults."""

from __future__ import annotations

import pytest

from splicer.config.health_check import HEALTH_CHECK
from splicer.config.load import load
from splicer.config.upstreams import read_upstream
from splicer.explain import explain
from splicer.health import HealthCheck


def read(value: object) -> HealthCheck | list[str] | None:
    upstream, faults = read_upstream("pod", {"address": "a.test:1", "health_check": value})
    return [f"{fault.key}: {fault.text}" for fault in faults] if upstream is None else upstream.health_check


ALL = {
    "path": "/health?deep=1",
    "port": 8080,
    "interval": "1s",
    "timeout": "1s",
    "unhealthy_threshold": 1,
    "healthy_threshold": 100,
}


@pytest.mark.parametrize(
    ("value", "check", "brief"),
    [
        ("tcp", HealthCheck(), "tcp every 10s"),
        ({"path": "/health"}, HealthCheck("/health"), "GET /health every 10s"),
        ({"path": "/", "interval": "1s"}, HealthCheck("/", interval=1.0, timeout=1.0), "GET / every 1s"),
        ({"path": "/{{a}}"}, HealthCheck("/{a}"), "GET /{a} every 10s"),
        (ALL, HealthCheck("/health?deep=1", 8080, 1.0, 1.0, 1, 100), "GET /health?deep=1 at port 8080 every 1s"),
    ],
)
def test_a_check(value: object, check: HealthCheck, brief: str) -> None:
    assert read(value) == check
    assert read(HEALTH_CHECK.write(check)) == check
    assert HEALTH_CHECK.brief is not None
    assert HEALTH_CHECK.brief(check) == brief


def test_it_is_explained_beside_outlier_detection() -> None:
    text = """
        [upstreams.pod]
        address = "pods.test:80"
        outlier_detection = { statuses = [503] }
        health_check = "tcp"
        [[routes]]
        name = "all"
        prefix = "/"
        upstream = "pod"
    """
    lines = explain(load(text, environ={}), "GET", "/", ()).lines
    assert "ejected    endpoints of pod: 5 in a row (no answer, 503), 30s to 5m, 50 % at most" in lines
    assert "checked    endpoints of pod: tcp every 10s" in lines


@pytest.mark.parametrize(
    ("value", "faults"),
    [
        ("http", ['health_check: must be "tcp" or a table such as { path = "/health" }, not "http"']),
        (True, ['health_check: must be "tcp" or a table such as { path = "/health" }, not true']),
        ({}, ['health_check.path: is missing; write path = "/health", or health_check = "tcp"']),
        ({"port": 0},
         ['health_check.path: is missing; write path = "/health", or health_check = "tcp"',
          "health_check.port: must be between 1 and 65535, not 0"]),
        ({"pth": "/"}, ['health_check.pth: unknown key; did you mean "path"?']),
        ({"path": "health"}, ['health_check.path: must start with "/"; write "/health"']),
        ({"path": "/{pod}"}, ["health_check.path: is fixed: no URL has captures for it"]),
        ({"path": "/a\r\nX: y"}, ['health_check.path: "\r" stands in no request as it is; write %0D']),
        ({"path": "/", "timeout": "20s"}, ["health_check.timeout: 20s is longer than interval, 10s"]),
        ({"path": "/", "interval": "100ms"}, ["health_check.interval: must be 1s or more, not 100ms"]),
        *(
            ({"path": "/", key: "never"},
             [f'health_check.{key}: "never" is no time for a check; leave health_check out to switch it off'])
            for key in ("interval", "timeout")
        ),
        ({"path": "/", "healthy_threshold": 101},
         ["health_check.healthy_threshold: must be between 1 and 100, not 101"]),
    ],
)  # fmt: skip
def test_faults(value: object, faults: list[str]) -> None:
    assert read(value) == faults
