"""Names, numbers, and above all the ratios' direction."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model import MORE_IS_BETTER, Figure, Report
from bench.report.words import against, keys_of, labelled, name_of, number, peers_of, times
from tests.bench.report.sample import sample

MEASURES = st.floats(min_value=0.001, max_value=1e9)


def two(key: str, mine: float, other: float) -> Report:
    scenario, _, name = key.partition(".")
    figures = [Figure(scenario, name, peer, "", (value,)) for peer, value in (("splicer", mine), ("nginx", other))]
    return Report({}, {}, "now", 1.0, {}, tuple(figures))


@given(st.sampled_from(sorted(MORE_IS_BETTER)), MEASURES, MEASURES)
def test_above_one_is_a_better_splicer(key: str, mine: float, other: float) -> None:
    found = against(two(key, mine, other), key, "nginx")
    assert found is not None
    better = mine > other if MORE_IS_BETTER[key] else mine < other
    assert (found > 1) == better or math.isclose(mine, other)
    assert found == pytest.approx(1 / (against(two(key, other, mine), key, "nginx") or 0))


def test_nothing_is_compared_that_has_no_better_side_or_no_other() -> None:
    assert against(two("storm.quiet_p99_us", 1.0, 2.0), "storm.quiet_p99_us", "nginx") is None
    assert against(two("http.rate", 1.0, 2.0), "http.rate", "envoy") is None
    assert against(two("http.rate", 1.0, 2.0), "http.rate", "splicer") is None


def test_an_added_latency_below_zero_is_compared_with_nothing() -> None:
    assert against(two("frames.added_p50_us", -1.0, 5.0), "frames.added_p50_us", "nginx") is None
    assert against(two("frames.added_p50_us", 5.0, -1.0), "frames.added_p50_us", "nginx") is None


def test_none_lost_against_some_is_beyond_measure() -> None:
    assert against(two("kill.lost", 0.0, 100.0), "kill.lost", "nginx") == math.inf
    assert against(two("kill.lost", 0.0, 0.0), "kill.lost", "nginx") == 1.0


def test_what_a_scenario_measures_beside_its_main_figure_is_compared() -> None:
    for key, better in [("bulk.64k_mb_per_cpu", 2.0), ("bulk.1m_mb_per_cpu", 2.0), ("storm.closed_p99_us", 0.5)]:
        assert against(two(key, 2.0, 1.0), key, "nginx") == better


def test_every_figure_that_is_compared_has_a_name() -> None:
    assert not [key for key in MORE_IS_BETTER if name_of(key) == key.replace("_", " ")]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("scale.routes_1000_us", "CPU for a new call, 1,000 routes"),
        ("scale.workers_1_rate", "rate of new calls, 1 worker"),
        ("scale.workers_4_outside_us", "of that outside the workers, 4 workers"),
        ("scale.workers_2_frame_us", "CPU for a frame, 2 workers"),
        ("new.some_figure", "new.some figure"),
    ],
)
def test_names(key: str, name: str) -> None:
    assert name_of(key) == name


def test_a_unit_stands_behind_a_name() -> None:
    assert labelled("frames.cpu_us", "us") == "CPU for a frame (µs)"
    assert labelled("kill.lost", "calls") == "calls lost by a killed worker"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (3, "3"),
        (0.123, "0.12"),
        (9.4, "9.40"),
        (15.92, "15.9"),
        (88200.4, "88,200"),
        (math.inf, "∞"),
        (-2, "-2"),
    ],
)
def test_numbers(value: float, written: str) -> None:
    assert number(value) == written


def test_ratios() -> None:
    assert [times(value)[:-1] for value in (0.774, 12.6, math.inf)] == ["0.77", "13", "∞"]


def test_splicer_is_first_and_a_direct_connection_last() -> None:
    figures = [Figure("frames", "p50_us", peer, "us", (1.0,)) for peer in ("direct", "nginx", "splicer", "caddy")]
    assert peers_of(Report({}, {}, "now", 1.0, {}, tuple(figures))) == ["splicer", "nginx", "caddy", "direct"]


def test_wanted_figures_come_in_the_order_wanted() -> None:
    assert keys_of(sample(), ["http.rate", "no.such", "frames.cpu_us"]) == ["http.rate", "frames.cpu_us"]
