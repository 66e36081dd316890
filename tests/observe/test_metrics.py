"""What is counted, in which series; and that neither a client nor a death makes more of them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

from splicer.config.load import load
from splicer.errors import (
    ConnectRefused,
    HandshakeTimeout,
    NameNotFound,
    PodDraining,
    PodReset,
    TooManyConnections,
)
from splicer.model import AttemptOutcome, Endpoint, Record, Route
from splicer.observe import metrics as module
from splicer.observe.metrics import Metrics, keep_in
from tests.observe.counted import bounds, counted, counting, families

_ROOT = Path(__file__).resolve().parent.parent.parent
_ROW = 3
_ROUTES = """
[upstreams.pod]
address = "{pod}.pods.test:8000"

[upstreams.any-pod]
address = "pods.test:8000"

[[routes]]
name = "health"
path = "/health"
respond = { status = 200 }

[[routes]]
name = "call"
regex = '^/ws/pod/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
fallback = "any-pod"

[[routes]]
name = "api"
prefix = "/api/"
upstream = "any-pod"
"""
SERVED = AttemptOutcome("any-pod", "10.0.0.2:8000", pod="voice-agent-2", resolve=0.25, connect=0.25, handshake=2.0)
REFUSED = AttemptOutcome("pod", "10.0.0.1:8000", ConnectRefused.reason, "refused", "voice-agent-1", connect=0.25)
TUNNEL = Record(
    id="0123456789abcdef",
    client="192.0.2.7",
    started=100.0,
    method="GET",
    path="/ws/pod/voice-agent-2/x",
    route="call",
    upstream="any-pod",
    endpoint=Endpoint("voice-agent-2", "10.0.0.2", 8000),
    protocol="websocket",
    status=101,
    attempts=[REFUSED, SERVED],
)
PLAIN = Record(
    id="0123456789abcdee",
    client="192.0.2.7",
    started=100.0,
    ended=100.75,
    method="POST",
    path="/api/x",
    route="api",
    upstream="any-pod",
    status=204,
    attempts=[SERVED],
)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this process counts during the test, and no longer."""
    files: list[Any] = []
    make: Any = MmapedDict.__init__

    def note(self: Any, *arguments: Any) -> None:
        make(self, *arguments)
        files.append(self)

    monkeypatch.setattr(MmapedDict, "__init__", note)
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "is put back")
    keep_in(tmp_path, _ROW)
    yield tmp_path
    for file in files:
        file._f.close()


@pytest.fixture
def metrics(directory: Path) -> Metrics:
    return Metrics()


def routes() -> tuple[Route, ...]:
    return load(_ROUTES, environ={}).routes


# ---- what the session tells ----


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


def test_every_attempt_is_counted_by_its_outcome(metrics: Metrics, directory: Path) -> None:
    with counting(directory) as found:
        for first, second in ((PodDraining, HandshakeTimeout), (NameNotFound, PodReset), (PodDraining, PodReset)):
            attempts = [AttemptOutcome("pod", None, first.reason), AttemptOutcome("any-pod", None, second.reason)]
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


# ---- what is there before anything happens ----


@pytest.mark.parametrize("known", [0, 1, 3])
def test_every_family_has_a_sample_from_the_start(metrics: Metrics, directory: Path, known: int) -> None:
    metrics.know(routes()[:known])
    found = {name: metric for name, metric in families(directory).items() if metric.samples}
    assert {name: metric.type for name, metric in found.items()} == {
        "connections_refused": "counter",
        "requests": "counter",
        "request_duration_seconds": "histogram",
        "handshake_duration_seconds": "histogram",
        "attempts": "counter",
        "fallbacks": "counter",
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
        'tunnels_total{pod="",route="call"}',
        'tunnel_duration_seconds_count{route="call"}',
        'request_duration_seconds_count{route="api"}',
    } <= new
    assert 'tunnels_total{pod="",route="api"}' not in new, "it has no tunnels"
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
_LABELS = {
    "route": {"", "health", "call", "api"},
    "method": {"GET", "POST", "other"},
    "status": {"1xx", "2xx", "4xx", "5xx", "none"},
    "upstream": {"", "pod", "any-pod"},
    "outcome": {"ok", "opened", "refused", "failed", *_FAILURES},
    "reason": {"", "eof", TooManyConnections.reason, *_FAILURES},
    "closer": {"client", "pod"},
    "part": {"resolve", "connect", "handshake"},
    "direction": {"to_pod", "to_client"},
    "pod": {""},
}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


# ---- who counts next ----


def test_a_file_that_grows_loses_nothing(metrics: Metrics, directory: Path) -> None:
    size = (directory / f"counter_{_ROW}.db").stat().st_size
    for number in range(1500):
        metrics.tunnel_opened(evolve(TUNNEL, endpoint=Endpoint(f"pod-{number:04}" + "x" * 40, "10.0.0.2", 8000)))
    assert (directory / f"counter_{_ROW}.db").stat().st_size > 2 * size
    metrics.crashed("192.0.2.7", None, ZeroDivisionError())
    found = counted(directory)
    assert found['requests_total{method="GET",route="call",status="1xx"}'] == 1500
    assert sum(value for series, value in found.items() if series.startswith("tunnels_")) == 1500
    assert found["crashes_total"] == 1


_COUNTER = """
import sys
from pathlib import Path
from splicer.observe.metrics import Metrics, keep_in
from splicer.errors import TooManyConnections
keep_in(Path(sys.argv[1]), int(sys.argv[2]))
metrics = Metrics()
for number in range(1 << 30):
    metrics.connection_refused("192.0.2.7", TooManyConnections())
    metrics.late(0.003)
    print(number + 1, flush=True)
"""
_COUNT = 'connections_refused_total{reason="too_many_connections"}'


def test_the_next_process_on_a_row_goes_on_where_a_killed_one_stopped(directory: Path) -> None:
    command = [sys.executable, "-c", _COUNTER, str(directory), str(_ROW)]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(100)]
        process.send_signal(signal.SIGKILL)
        told = int([*lines, *process.stdout][-1])
    files = sorted(directory.iterdir())
    before = counted(directory)
    assert told <= before[_COUNT] <= told + 1
    metrics = Metrics()
    assert counted(directory) == before, "nothing is lost, and nothing is counted twice"
    for _ in range(10):
        metrics.connection_refused("192.0.2.7", TooManyConnections())
    assert counted(directory)[_COUNT] == before[_COUNT] + 10
    assert sorted(directory.iterdir()) == files


def test_any_number_of_processes_on_a_row_leave_the_same_files(directory: Path) -> None:
    names = set()
    for number in range(1, 6):
        keep_in(directory, _ROW)
        Metrics().tunnel_opened(TUNNEL)
        names |= {file.name for file in directory.iterdir()}
        assert counted(directory)['tunnels_total{pod="voice-agent-2",route="call"}'] == number
    assert names == {f"counter_{_ROW}.db", f"histogram_{_ROW}.db"}


def test_rows_add_up(directory: Path) -> None:
    for row in (1, 2, 250):
        keep_in(directory, row)
        Metrics().tunnel_opened(TUNNEL)
    found = counted(directory)
    assert found['tunnels_total{pod="voice-agent-2",route="call"}'] == 3
    assert found['handshake_duration_seconds_count{outcome="opened",part="connect"}'] == 3
    assert found['handshake_duration_seconds_sum{outcome="opened",part="connect"}'] == 1.5
    assert len(list(directory.iterdir())) == 6


def test_without_a_directory_a_process_counts_for_itself(directory: Path) -> None:
    keep_in(None, _ROW)
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
    metrics = Metrics()
    metrics.know(routes())
    metrics.tunnel_opened(TUNNEL)
    metrics.tunnel_over(TUNNEL)
    assert not list(directory.iterdir())
    found = {sample.name: sample.value for metric in metrics.collect() for sample in metric.samples if sample.value}
    assert (found["splicer_tunnels_total"], found["splicer_tunnel_duration_seconds_count"]) == (1, 1)


# ---- no room ----


class Room:
    """How much the file system says that it has."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        self.gone = False
        monkeypatch.setattr(os, "statvfs", self._statvfs)

    def _statvfs(self, _: object) -> os.statvfs_result:
        if self.gone:
            raise FileNotFoundError
        return os.statvfs_result((4096, 4096, 1 << 20, self.bytes // 4096, self.bytes // 4096, 0, 0, 0, 0, 255))


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(monkeypatch)


def _tell_all(metrics: Metrics, pod: str) -> None:
    other = evolve(TUNNEL, endpoint=Endpoint(pod, "10.0.0.3", 8000))
    metrics.know(routes())
    metrics.tunnel_opened(other)
    metrics.tunnel_over(evolve(other, closer="proxy", close_reason=pod))
    metrics.exchange_ended(evolve(PLAIN, route=pod))
    metrics.connection_refused("192.0.2.7", TooManyConnections())
    metrics.crashed("192.0.2.7", TUNNEL, ZeroDivisionError())
    metrics.dropped(1)
    metrics.late(0.1)
    metrics.resolver.count("queries")


@pytest.mark.parametrize("gone", [False, True])
def test_where_there_is_no_room_nothing_new_is_written_and_nothing_raises(
    metrics: Metrics, directory: Path, room: Room, gone: bool
) -> None:
    before, sizes = counted(directory), [file.stat().st_size for file in directory.iterdir()]
    room.gone = gone  # an edge that was killed leaves it, and the next one tidies up while calls go on
    _tell_all(metrics, "new")
    after = counted(directory)
    assert after.keys() == before.keys()
    assert [file.stat().st_size for file in directory.iterdir()] == sizes
    assert (after[_COUNT], after["crashes_total"], after["resolver_queries_total"]) == (1, 1, 1), "these had their room"
    assert after['tunnel_bytes_total{direction="to_pod"}'] == before['tunnel_bytes_total{direction="to_pod"}']


def test_what_had_no_room_is_counted_when_there_is_some_again(metrics: Metrics, directory: Path, room: Room) -> None:
    _tell_all(metrics, "new")
    room.bytes = 1 << 30
    _tell_all(metrics, "new")
    found = counted(directory)
    assert found['tunnels_total{pod="new",route="call"}'] == 1
    assert found['tunnel_closes_total{closer="proxy",reason="new"}'] == 1
    assert found[_COUNT] == 2


@pytest.mark.parametrize(("size", "enough"), [(0, False), ((4 << 20) - 4096, False), (4 << 20, True)])
def test_who_begins_without_room_is_told(directory: Path, room: Room, size: int, enough: bool) -> None:
    room.bytes = size
    if enough:
        keep_in(directory, _ROW)
        return
    with pytest.raises(OSError, match="has no room"):
        keep_in(directory, _ROW)
    assert not list(directory.iterdir())


def test_a_directory_that_is_not_there_is_told(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        keep_in(tmp_path / "nowhere", _ROW)
