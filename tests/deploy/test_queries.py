"""The judge of the queries sees what is wrong with one."""

from __future__ import annotations

import pytest

from tests.deploy.queries import faults, labels_in, labels_of


@pytest.mark.parametrize(
    "query",
    [
        "splicer_workers_serving < splicer_workers_wanted",
        'sum by (route, job) (rate(splicer_attempts_total{outcome="ok", instance=~"$instance"}[$__rate_interval]))',
        "histogram_quantile(0.9, sum by (le, part) (rate(splicer_handshake_duration_seconds_bucket[5m])))",
        'sum(splicer_endpoints{state=~"up|down"}) unless on (job) up == 0',
        "increase(splicer_crashes_total[15m:1m]) > 0",
    ],
)
def test_a_good_query_has_no_fault(query: str) -> None:
    assert faults(query) == []


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("splicer_tunnels_activ", "splicer_tunnels_activ is no family"),
        ("rate(splicer_tunnels[5m])", "splicer_tunnels is no family"),
        ("rate(splicer_event_loop_lag_seconds[5m])", "splicer_event_loop_lag_seconds is no family"),
        ("rate(splicer_tunnels_total_count[5m])", "splicer_tunnels_total_count is no family"),
        ('rate({route="x"}[5m])', '{route="x"} is no family'),
        ("splicer_crashes_total > 0", "splicer_crashes_total is a counter, and stands outside rate() and increase()"),
        (
            "delta(splicer_event_loop_lag_seconds_sum[5m])",
            "splicer_event_loop_lag_seconds_sum is a counter, and stands outside rate() and increase()",
        ),
        ("rate(splicer_draining[5m])", "splicer_draining is a gauge, and stands in rate()"),
        ('splicer_draining{route="x"}', "splicer_draining has no label route"),
        ('splicer_pipes{state=~"pooled|lost"}', "splicer_pipes has no state lost"),
        ("sum by (pod) (splicer_endpoints)", "splicer_endpoints has no label pod"),
        ("sum without (pod) (splicer_endpoints)", "splicer_endpoints has no label pod"),
        ("sum by (le) (splicer_endpoints)", "splicer_endpoints has no label le"),
        ("splicer_draining == on (worker) splicer_vault_connected", "splicer_draining has no label worker"),
    ],
)
def test_a_fault_is_told(query: str, fault: str) -> None:
    assert faults(query) == [fault]


def test_what_cannot_be_parsed_is_a_fault() -> None:
    assert len(faults("sum(splicer_draining")) == 1
    assert len(faults("rate(splicer_crashes_total)")) == 1


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("splicer_pipes", {"job", "instance", "state"}),
        ("sum(splicer_pipes)", set()),
        ("topk(3, sum by (pod) (splicer_tunnels_active))", {"pod"}),
        ("sum without (job) (splicer_pipes) > 0", {"instance", "state"}),
        ("absent(splicer_pipes)", set()),
        ("histogram_quantile(0.5, sum by (le, job) (rate(splicer_event_loop_lag_seconds_bucket[5m])))", {"job"}),
        ("1 - splicer_draining", {"job", "instance"}),
    ],
)
def test_labels_of_a_result(query: str, labels: set[str]) -> None:
    assert labels_of(query) == labels


def test_labels_in_a_text() -> None:
    assert labels_in("{{closer}}: {{ $labels.reason }}, {{ $value | humanize }}") == {"closer", "reason"}
