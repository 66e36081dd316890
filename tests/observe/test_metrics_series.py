"""Which series there are before anything happens, and that no client makes more of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from splicer.authorization import AuthorizeDenied, AuthorizeFailed, AuthorizeTimeout
from splicer.errors import ConnectRefused, HandshakeTimeout, NameNotFound, PodReset, TooManyConnections
from splicer.hello_errors import ERRORS as HELLO_ERRORS
from splicer.limit_errors import TooManyFromClient
from splicer.model import Endpoint
from splicer.observe import metrics as module
from splicer.observe.metrics import Metrics
from splicer.proxyproto.errors import ERRORS as HEADER_ERRORS
from splicer.record import AttemptOutcome, Record
from tests.kit.laws import examples
from tests.observe.counted import counted, counting, families
from tests.observe.recorded import TUNNEL, routes

# ---- what is there before anything happens ----


@pytest.mark.parametrize("known", [0, 1, 3])
def test_every_family_has_a_sample_from_the_start(metrics: Metrics, directory: Path, known: int) -> None:
    metrics.know(routes()[:known])
    found = {name: metric for name, metric in families(directory).items() if metric.samples}
    assert {name: metric.type for name, metric in found.items()} == {
        "connections_refused": "counter",
        "connections_empty": "counter",
        "rate_limited": "counter",
        "requests": "counter",
        "request_duration_seconds": "histogram",
        "handshake_duration_seconds": "histogram",
        "attempts": "counter",
        "fallbacks": "counter",
        "retries": "counter",
        "route_full": "counter",
        "tls_handshakes": "counter",
        "tls_handshake_duration_seconds": "histogram",
        "endpoint_full": "counter",
        "authorize": "counter",
        "authorize_duration_seconds": "histogram",
        "hook_calls": "counter",
        "hook_duration_seconds": "histogram",
        "hook_blocks": "counter",
        "tunnels": "counter",
        "tunnel_duration_seconds": "histogram",
        "tunnel_bytes": "counter",
        "tunnel_closes": "counter",
        "resolver_queries": "counter",
        "resolver_failures": "counter",
        "resolver_cache_hits": "counter",
        "resolver_stale_answers": "counter",
        "event_loop_lag_seconds": "histogram",
        "log_lines_dropped": "counter",
        "spans": "counter",
        "crashes": "counter",
        "observer_errors": "counter",
    }
    assert all(metric.documentation for metric in found.values())
    assert not any(counted(directory).values())


def test_a_route_that_comes_with_a_reload_has_its_series_at_once(metrics: Metrics, directory: Path) -> None:
    known = routes()
    metrics.know(known[:1])
    before = counted(directory)
    assert 'requests_total{method="GET",route="health",status="2xx"}' in before
    assert not [series for series in before if 'route="call"' in series or 'route="api"' in series]
    metrics.know(known)
    new = counted(directory).keys() - before.keys()
    assert {
        'requests_total{method="GET",route="call",status="1xx"}',
        'requests_total{method="GET",route="call",status="5xx"}',
        'requests_total{method="GET",route="api",status="2xx"}',
        'attempts_total{outcome="ok",route="call",upstream="pod"}',
        'attempts_total{outcome="ok",route="call",upstream="any-pod"}',
        'attempts_total{outcome="ok",route="api",upstream="any-pod"}',
        'fallbacks_total{reason="connect_refused",route="call"}',
        'retries_total{reason="connect_refused",route="api"}',
        *(
            f'authorize_total{{outcome="{outcome}",route="placed"}}'
            for outcome in ("ok", "authorize_denied", "authorize_failed", "authorize_deadline")
        ),
        'authorize_duration_seconds_count{route="placed"}',
        'tunnels_total{pod="",route="call"}',
        'route_full_total{route="call"}',
        'endpoint_full_total{upstream="pod"}',
        'tunnel_duration_seconds_count{route="call"}',
        'request_duration_seconds_count{route="api"}',
        'rate_limited_total{route="api"}',
    } <= new
    assert 'tunnels_total{pod="",route="api"}' not in new, "it has no tunnels"
    assert 'rate_limited_total{route="call"}' not in new, "it has no limit"
    assert 'route_full_total{route="api"}' not in new, "nor a limit for them"
    assert 'endpoint_full_total{upstream="any-pod"}' not in new, "nor do its endpoints"
    metrics.know(known)
    assert counted(directory).keys() - before.keys() == new


# ---- how many series there may be ----


def test_pods_beyond_the_most_are_one_series(
    metrics: Metrics, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_PODS", 3)
    with counting(directory) as found:
        for number in (0, 1, 2, 3, 4, 1, 5):
            metrics.tunnel_opened(evolve(TUNNEL, endpoint=Endpoint(f"pod-{number}", "10.0.0.2", 8000)))
    assert {series: value for series, value in found.items() if series.startswith("tunnels_")} == {
        'tunnels_total{pod="pod-0",route="call"}': 1,
        'tunnels_total{pod="pod-1",route="call"}': 2,
        'tunnels_total{pod="pod-2",route="call"}': 1,
        'tunnels_total{pod="other",route="call"}': 3,
    }


class Flood:
    """Requests of which a client chooses all that it can."""

    def __init__(self, texts: list[str], seed: int) -> None:
        self._texts = texts
        self._random = random.Random(seed)

    def text(self) -> str:
        return self._random.choice(self._texts) + str(self._random.randrange(1 << 30))

    def record(self) -> Record:
        pick = self._random.choice
        pod = self.text()
        failures = sorted(_FAILURES)
        attempts = [
            AttemptOutcome(upstream, pick([None, "10.0.0.9:8000"]), pick(failures), self.text(), pod)
            for upstream in ("pod", "any-pod")
        ]
        return Record(
            id=f"{self._random.getrandbits(64):016x}",
            client=self.text(),
            started=1.0,
            method=pick(["GET", "POST", self.text()]),
            path=self.text(),
            query=self.text(),
            host=self.text(),
            route=pick(["call", "api", None]),
            request_id=self.text(),
            upstream="pod",
            target=self.text(),
            protocol=pick([None, "websocket"]),
            status=pick([400, 404, 502, 503, 504, None]),
            attempts=attempts[: pick([0, 1, 2])],
            closer="proxy",
            close_reason=pick(failures),
            detail=self.text(),
        )


_FAILURES = {kind.reason for kind in (NameNotFound, ConnectRefused, PodReset, HandshakeTimeout)}
_AUTHORIZE = {kind.reason for kind in (AuthorizeDenied, AuthorizeFailed, AuthorizeTimeout)}
_LABELS = {
    "route": {"", "health", "call", "placed", "api"},
    "method": {"GET", "POST", "other"},
    "status": {"1xx", "2xx", "4xx", "5xx", "none"},
    "upstream": {"", "pod", "any-pod"},
    "outcome": {"ok", "continued", "opened", "refused", "failed", *_FAILURES, *_AUTHORIZE},
    "reason": {
        "",
        "eof",
        TooManyConnections.reason,
        TooManyFromClient.reason,
        *(error.reason for error in (*HEADER_ERRORS, *HELLO_ERRORS)),
        *_FAILURES,
    },
    "hook": {""},
    "closer": {"client", "pod"},
    "part": {"resolve", "connect", "handshake"},
    "direction": {"to_pod", "to_client"},
    "result": {"channel_full"},
    "pod": {""},
    "side": {"client"},
    "profile": {""},
}


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=6), seed=st.integers(0, 1 << 30))
@example(texts=["GET", "voice-agent-", "/ws/pod/", '"}\n', "\x00", "other", "call"], seed=1)
def test_no_label_is_a_clients_choice_in_ten_thousand_strange_requests(
    metrics: Metrics, directory: Path, texts: list[str], seed: int
) -> None:
    metrics.know(routes())
    flood = Flood(texts, seed)
    for _ in range(500):
        metrics.exchange_ended(flood.record())
    for metric in families(directory).values():
        for sample in metric.samples:
            assert all(value in _LABELS[label] for label, value in sample.labels.items() if label != "le")


def test_as_many_strange_requests_as_one_likes_make_no_further_series(metrics: Metrics, directory: Path) -> None:
    metrics.know(routes())
    sizes = []
    for seed in range(3):
        flood = Flood(["a", "b"], seed)
        for _ in range(2000):
            metrics.exchange_ended(flood.record())
        sizes.append((len(counted(directory)), *(file.stat().st_size for file in sorted(directory.iterdir()))))
    assert sizes[0] == sizes[1] == sizes[2]
