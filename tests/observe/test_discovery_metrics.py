"""What the discovery process counts."""

from __future__ import annotations

from pathlib import Path

from splicer.health import HealthCheck, OutlierDetection
from splicer.model import Upstream
from splicer.observe.discovery_metrics import DiscoveryMetrics
from splicer.routing.template import parse_template
from tests.observe.counted import counted, counting, families


def upstream(name: str, outlier: OutlierDetection | None = None, health: HealthCheck | None = None) -> Upstream:
    return Upstream(name, parse_template("a.test"), 80, outlier_detection=outlier, health_check=health)


def test_every_family_has_a_sample_from_the_start(directory: Path) -> None:
    DiscoveryMetrics()
    assert {name: metric.type for name, metric in families(directory).items() if metric.samples} == {
        "discovery_events": "counter",
        "discovery_failures": "counter",
        "discovery_lists": "counter",
        "discovery_rows_skipped": "counter",
        "ejections": "counter",
        "ejections_refused": "counter",
        "health_checks": "counter",
        "health_check_duration_seconds": "histogram",
        "health_checks_late": "counter",
    }
    assert not any(counted(directory).values())


def test_the_series_of_upstreams_are_there_before_their_first_event(directory: Path) -> None:
    metrics = DiscoveryMetrics()
    metrics.know([upstream("a", OutlierDetection()), upstream("b", None, HealthCheck()), upstream("c")])
    series = set(counted(directory))
    assert 'ejections_total{reason="connect_refused",upstream="a"}' in series
    assert 'ejections_refused_total{upstream="a"}' in series
    assert 'health_checks_total{outcome="deadline",upstream="b"}' in series
    assert 'health_check_duration_seconds_count{upstream="b"}' in series
    assert not [name for name in series if 'upstream="c"' in name]
    assert not [name for name in series if 'upstream="b"' in name and "ejections" in name]


def test_events(directory: Path) -> None:
    metrics = DiscoveryMetrics()
    with counting(directory) as seen:
        metrics.ejected("a", "status")
        metrics.ejection_refused("a")
        metrics.checked("b", "ok", 0.02)
        metrics.check_late()
    assert seen == {
        'ejections_total{reason="status",upstream="a"}': 1,
        'ejections_refused_total{upstream="a"}': 1,
        'health_checks_total{outcome="ok",upstream="b"}': 1,
        'health_check_duration_seconds_count{upstream="b"}': 1,
        'health_check_duration_seconds_sum{upstream="b"}': 0.02,
        "health_checks_late_total": 1,
    }
