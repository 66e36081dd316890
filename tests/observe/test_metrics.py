"""What is counted, in which series."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from splicer.authorization import AuthorizeOutcome
from splicer.errors import HandshakeTimeout, NameNotFound, PodDraining, PodReset, TooManyConnections
from splicer.limit_errors import EndpointFull, RouteFull
from splicer.observe.metrics import Metrics
from splicer.record import AttemptOutcome, Record
from tests.observe.counted import bounds, counted, counting
from tests.observe.recorded import ASKED, FALLEN_BACK, PLAIN, REFUSED, SERVED, TUNNEL, routes


def test_a_tunnel_that_opens(metrics: Metrics, directory: Path) -> None:
    with counting(directory) as found:
        metrics.tunnel_opened(TUNNEL)
    assert found == {
        'tunnels_total{pod="voice-agent-2",route="call"}': 1,
        'requests_total{method="GET",route="call",status="1xx"}': 1,
        'attempts_total{outcome="connect_refused",route="call",upstream="pod"}': 1,
        'attempts_total{outcome="ok",route="call",upstream="any-pod"}': 1,
        'fallbacks_total{reason="connect_refused",route="call"}': 1,
        'handshake_duration_seconds_count{outcome="opened",part="resolve"}': 1,
        'handshake_duration_seconds_count{outcome="opened",part="connect"}': 1,
        'handshake_duration_seconds_count{outcome="opened",part="handshake"}': 1,
        'handshake_duration_seconds_sum{outcome="opened",part="resolve"}': 0.25,
        'handshake_duration_seconds_sum{outcome="opened",part="connect"}': 0.5,
        'handshake_duration_seconds_sum{outcome="opened",part="handshake"}': 2,
    }


def test_a_tunnel_that_is_over(metrics: Metrics, directory: Path) -> None:
    over = evolve(TUNNEL, ended=1600.0, to_pod=480_000, to_client=960_000, closer="pod", close_reason="reset")
    with counting(directory) as found:
        metrics.tunnel_over(over)
    assert found == {
        'tunnel_bytes_total{direction="to_pod"}': 480_000,
        'tunnel_bytes_total{direction="to_client"}': 960_000,
        'tunnel_closes_total{closer="pod",reason="reset"}': 1,
        'tunnel_duration_seconds_count{route="call"}': 1,
        'tunnel_duration_seconds_sum{route="call"}': 1500,
    }


def test_a_tunnel_without_a_pod_or_a_route_is_counted_too(metrics: Metrics, directory: Path) -> None:
    bare = Record("0123456789abcdef", "192.0.2.7", 1.0)
    with counting(directory) as found:
        metrics.tunnel_opened(bare)
        metrics.tunnel_over(bare)
    assert found['tunnels_total{pod="",route=""}'] == 1
    assert found['tunnel_closes_total{closer="",reason=""}'] == 1
    assert found['tunnel_duration_seconds_count{route=""}'] == 1


def test_a_plain_request(metrics: Metrics, directory: Path) -> None:
    with counting(directory) as found:
        metrics.exchange_ended(PLAIN)
    assert found == {
        'requests_total{method="POST",route="api",status="2xx"}': 1,
        'attempts_total{outcome="ok",route="api",upstream="any-pod"}': 1,
        'request_duration_seconds_count{route="api"}': 1,
        'request_duration_seconds_sum{route="api"}': 0.75,
    }


def test_a_request_that_no_route_wants(metrics: Metrics, directory: Path) -> None:
    with counting(directory) as found:
        metrics.exchange_ended(evolve(PLAIN, route=None, status=404, attempts=[]))
    assert found == {
        'requests_total{method="POST",route="",status="4xx"}': 1,
        'request_duration_seconds_count{route=""}': 1,
        'request_duration_seconds_sum{route=""}': 0.75,
    }


@pytest.mark.parametrize(
    ("method", "told"),
    [
        *((known, known) for known in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")),
        *((known, known) for known in ("OPTIONS", "TRACE", "CONNECT")),
        ("BREW", "other"),
        ("get", "other"),
        (None, ""),
    ],
)
def test_methods_are_those_that_are_known(metrics: Metrics, directory: Path, method: str | None, told: str) -> None:
    with counting(directory) as found:
        metrics.exchange_ended(evolve(PLAIN, method=method))
    assert found[f'requests_total{{method="{told}",route="api",status="2xx"}}'] == 1


@pytest.mark.parametrize(
    ("status", "told"),
    [(100, "1xx"), (200, "2xx"), (399, "3xx"), (499, "4xx"), (599, "5xx"), (600, "none"), (None, "none")],
)
def test_statuses_are_told_by_their_class(metrics: Metrics, directory: Path, status: int | None, told: str) -> None:
    with counting(directory) as found:
        metrics.exchange_ended(evolve(PLAIN, status=status))
    assert found[f'requests_total{{method="POST",route="api",status="{told}"}}'] == 1


@pytest.mark.parametrize(
    ("attempts", "status", "outcome"),
    [
        ([SERVED], 403, "refused"),
        ([REFUSED, SERVED], 200, "refused"),
        ([REFUSED, evolve(SERVED, failure=PodReset.reason)], 502, "failed"),
    ],
)
def test_a_handshake_that_opens_nothing(
    metrics: Metrics, directory: Path, attempts: list[AttemptOutcome], status: int, outcome: str
) -> None:
    with counting(directory) as found:
        metrics.exchange_ended(evolve(TUNNEL, ended=103.0, status=status, attempts=attempts))
    assert found[f'handshake_duration_seconds_sum{{outcome="{outcome}",part="handshake"}}'] == 2
    assert found[f'handshake_duration_seconds_count{{outcome="{outcome}",part="resolve"}}'] == 1
    assert found[f'requests_total{{method="GET",route="call",status="{status // 100}xx"}}'] == 1
    assert not [series for series in found if series.startswith(("request_duration", "tunnel"))], "it isn't plain HTTP"


def test_a_handshake_that_comes_to_no_attempt_takes_no_time(metrics: Metrics, directory: Path) -> None:
    with counting(directory) as found:
        metrics.exchange_ended(evolve(TUNNEL, status=426, attempts=[]))
    assert found == {'requests_total{method="GET",route="call",status="4xx"}': 1}


def test_a_request_over_the_rate_is_counted_by_its_route(metrics: Metrics, directory: Path) -> None:
    with counting(directory) as found:
        metrics.exchange_ended(evolve(PLAIN, status=429, attempts=[], close_reason="rate_limited"))
        metrics.exchange_ended(evolve(PLAIN, status=429, close_reason="complete"))  # the pod's own
    assert found['rate_limited_total{route="api"}'] == 1
    assert found['requests_total{method="POST",route="api",status="4xx"}'] == 2


def test_every_attempt_is_counted_by_its_outcome(metrics: Metrics, directory: Path) -> None:
    with counting(directory) as found:
        for first, second in ((PodDraining, HandshakeTimeout), (NameNotFound, PodReset), (PodDraining, PodReset)):
            attempts = [
                AttemptOutcome("pod", None, first.reason),
                AttemptOutcome("any-pod", None, second.reason, fallback=True),
            ]
            metrics.exchange_ended(evolve(PLAIN, route="call", attempts=attempts))
    told = {series: value for series, value in found.items() if series.startswith(("attempts", "fallbacks"))}
    assert told == {
        'attempts_total{outcome="pod_draining",route="call",upstream="pod"}': 2,
        'attempts_total{outcome="name_not_found",route="call",upstream="pod"}': 1,
        'attempts_total{outcome="handshake_deadline",route="call",upstream="any-pod"}': 1,
        'attempts_total{outcome="pod_reset",route="call",upstream="any-pod"}': 2,
        'fallbacks_total{reason="pod_draining",route="call"}': 2,
        'fallbacks_total{reason="name_not_found",route="call"}': 1,
    }


def test_a_retry_is_no_fallback(metrics: Metrics, directory: Path) -> None:
    again = evolve(SERVED, failure=PodReset.reason, fallback=True)
    with counting(directory) as found:
        metrics.exchange_ended(evolve(PLAIN, attempts=[REFUSED, REFUSED, again, FALLEN_BACK]))
    told = {series: value for series, value in found.items() if series.startswith(("retries", "fallbacks"))}
    assert told == {
        'retries_total{reason="connect_refused",route="api"}': 1,
        'retries_total{reason="pod_reset",route="api"}': 1,
        'fallbacks_total{reason="connect_refused",route="api"}': 1,
    }


def test_an_attempt_at_endpoints_that_are_full(metrics: Metrics, directory: Path) -> None:
    full = evolve(REFUSED, failure=EndpointFull.reason, endpoint=None, connect=0.0)
    with counting(directory) as found:
        metrics.exchange_ended(evolve(PLAIN, attempts=[full, FALLEN_BACK]))
    assert found['endpoint_full_total{upstream="pod"}'] == 1
    assert found['attempts_total{outcome="endpoint_full",route="api",upstream="pod"}'] == 1
    assert 'endpoint_full_total{upstream="any-pod"}' not in found


def test_a_call_to_a_route_that_is_full(metrics: Metrics, directory: Path) -> None:
    full = evolve(PLAIN, route="call", method="GET", protocol="websocket", status=503, attempts=[])
    with counting(directory) as found:
        metrics.exchange_ended(evolve(full, close_reason=RouteFull.reason))
        metrics.exchange_ended(evolve(full, close_reason="draining"))
    assert found == {
        'requests_total{method="GET",route="call",status="5xx"}': 2,
        'route_full_total{route="call"}': 1,
    }


@pytest.mark.parametrize(
    ("asked", "attempts", "outcome", "fallbacks"),
    [
        (ASKED, [SERVED], "ok", {}),
        (ASKED, [REFUSED, FALLEN_BACK], "ok", {'fallbacks_total{reason="connect_refused",route="api"}': 1}),
        (evolve(ASKED, failure="authorize_denied"), [], "authorize_denied", {}),
        (evolve(ASKED, failure="authorize_failed"), [SERVED], "authorize_failed", {}),
        (
            evolve(ASKED, failure="authorize_deadline"),
            [FALLEN_BACK],
            "authorize_deadline",
            {'fallbacks_total{reason="authorize_deadline",route="api"}': 1},
        ),
    ],
)
def test_a_question_to_an_authorizer(
    metrics: Metrics,
    directory: Path,
    asked: AuthorizeOutcome,
    attempts: list[AttemptOutcome],
    outcome: str,
    fallbacks: dict[str, float],
) -> None:
    for tell in (metrics.exchange_ended, metrics.tunnel_opened):
        with counting(directory) as found:
            tell(evolve(PLAIN, authorize=asked, attempts=attempts))
        told = {series: value for series, value in found.items() if series.startswith(("authorize", "fallbacks"))}
        assert told == fallbacks | {
            f'authorize_total{{outcome="{outcome}",route="api"}}': 1,
            'authorize_duration_seconds_count{route="api"}': 1,
            'authorize_duration_seconds_sum{route="api"}': 0.25,
        }


def test_what_else_happens(metrics: Metrics, directory: Path) -> None:
    with counting(directory) as found:
        metrics.connection_refused("192.0.2.7", TooManyConnections())
        metrics.crashed("192.0.2.7", None, ZeroDivisionError())
        metrics.crashed("192.0.2.7", TUNNEL, ZeroDivisionError())
        metrics.dropped(7)
        metrics.late(0.002)
        for times, word in enumerate(("queries", "failures", "cache_hits", "stale_answers"), 1):
            for _ in range(times):
                metrics.resolver.count(word)
    assert found == {
        'connections_refused_total{reason="too_many_connections"}': 1,
        "crashes_total": 2,
        "log_lines_dropped_total": 7,
        "event_loop_lag_seconds_count": 1,
        "event_loop_lag_seconds_sum": 0.002,
        "resolver_queries_total": 1,
        "resolver_failures_total": 2,
        "resolver_cache_hits_total": 3,
        "resolver_stale_answers_total": 4,
    }


def test_a_calls_length_is_told_up_to_four_hours(metrics: Metrics, directory: Path) -> None:
    metrics.know(routes())
    assert (bounds(directory, "tunnel_duration_seconds")[0], bounds(directory, "tunnel_duration_seconds")[-2:]) == (
        "1.0",
        ["14400.0", "+Inf"],
    )
    for seconds in (1, 1200, 14_400, 14_401):
        metrics.tunnel_over(evolve(TUNNEL, ended=TUNNEL.started + seconds))
    found = counted(directory)
    told = [found[f'tunnel_duration_seconds_bucket{{le="{le}",route="call"}}'] for le in ("1.0", "1200.0", "14400.0")]
    assert (told, found['tunnel_duration_seconds_bucket{le="+Inf",route="call"}']) == ([1, 2, 3], 4)
