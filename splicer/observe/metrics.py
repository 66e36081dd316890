"""A worker's Prometheus counters and histograms; `families` says where they are kept.

There are no gauges here: a gauge that is incremented and decremented would be wrong for ever if its process were killed
in between.

The number of series is bounded: every label comes from the configuration, the code, or a pod that took a call.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from threading import Lock
from typing import Any

from splicer.authorization import AuthorizeOutcome
from splicer.errors import SplicerError
from splicer.hello_errors import ERRORS as HELLO_ERRORS
from splicer.hook_settings import HookOutcome
from splicer.limit_errors import EndpointFull, RateLimited, RouteFull
from splicer.model import Route
from splicer.net.resolve import ResolverStats
from splicer.observe.families import Families
from splicer.observer import Observer
from splicer.proxyproto.errors import ERRORS as HEADER_ERRORS
from splicer.record import AttemptOutcome, Record
from splicer.tls_facts import TlsFailure

_MAX_PODS = 4000  # series of one file; pods of a Deployment get new names all the time
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_CLASSES = {None: "none"} | {status: f"{status // 100}xx" for status in range(100, 600)}
_PARTS = ("resolve", "connect", "handshake")
_OUTCOMES = ("opened", "refused", "failed")
_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds
_REQUEST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_CALL = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5)


class _ResolverCounts(ResolverStats):
    def __init__(self, series: dict[str, Any]) -> None:
        super().__init__()
        self._series = series

    def count(self, name: str) -> None:
        self._series[name].inc(1)


class Metrics(Families, Observer):
    """The session's observer that counts; `families.keep_in` sets where the counts are kept.

    The code for a handshake is written out for speed: no label is computed twice, and the library looks up no series.

    Args:
        pods: pairs of route and pod for which the file already has series.
    """

    def __init__(self, pods: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__()
        count, measure = self._counter, self._histogram
        self._requests = count("requests", "Requests answered.", "route", "method", "status")
        self._durations = measure(
            "request_duration_seconds", "Plain HTTP: head read to answer sent.", "route", buckets=_REQUEST
        )
        self._handshakes = measure(
            "handshake_duration_seconds",
            "The parts of a handshake, over all its attempts.",
            "part",
            "outcome",
            buckets=_FAST,
        )
        self._attempts = count("attempts", "Attempts at pods.", "route", "upstream", "outcome")
        self._fallbacks = count("fallbacks", "Requests that went to a fallback, by why.", "route", "reason")
        self._retries = count("retries", "Further attempts at the same upstream, by why.", "route", "reason")
        self._rate_limited = count("rate_limited", "Requests over a route's rate limit.", "route")
        self._route_full = count("route_full", "Calls refused because their route had max_tunnels.", "route")
        self._by_limit = {RateLimited.reason: self._rate_limited, RouteFull.reason: self._route_full}
        self._endpoint_full = count("endpoint_full", "Attempts that found every endpoint full.", "upstream")
        self._authorizations = count("authorize", "Questions to authorizers.", "route", "outcome")
        self._authorizing = measure(
            "authorize_duration_seconds", "From the question to the authorizer's answer.", "route", buckets=_FAST
        )
        self._tunnels = count("tunnels", "Tunnels opened.", "route", "pod")
        self._lives = measure("tunnel_duration_seconds", "Tunnels: head read to end.", "route", buckets=_CALL)
        self._bytes = count("tunnel_bytes", "Bytes that tunnels moved.", "direction")
        self._closes = count("tunnel_closes", "Tunnels over, by who and why.", "closer", "reason")
        self._refused = count("connections_refused", "Connections turned away.", "reason")
        self._empty = count("connections_empty", "Connections without a byte where a PROXY header was due.")[()]
        self._tls = count("tls_handshakes", "TLS handshakes, by how they ended.", "side", "profile", "outcome")
        self._shaking = measure("tls_handshake_duration_seconds", "TLS handshakes.", "side", buckets=_FAST)
        resolver = {
            "queries": "Names asked of the name servers.",
            "failures": "Questions without a usable answer.",
            "cache_hits": "Answers from the cache.",
            "stale_answers": "Old answers given while the name servers fail.",
        }
        self.resolver = _ResolverCounts({word: count(f"resolver_{word}", text)[()] for word, text in resolver.items()})
        self._dropped = count("log_lines_dropped", "Log lines that nobody took in time.")[()]
        self._dropping = Lock()
        self._crashes = count("crashes", "Connections ended by a bug.")[()]
        self._spans = count("spans", "Spans, by what became of them.", "result")
        self._observer_errors = count("observer_errors", "What a bug kept from being counted or logged.")[()]
        self._hook_calls = count("hook_calls", "Calls of hooks for requests, by how they ended.", "hook", "outcome")
        self._hook_times = measure("hook_duration_seconds", "From call to decision.", "hook", buckets=_FAST)
        self._hook_blocks = count("hook_blocks", "Calls of hooks that kept frames waiting for over 2 ms.", "hook")
        self._lag = measure("event_loop_lag_seconds", "How late a timer of 100 ms to 1 s was.", buckets=_LAG)[()]
        self._pods = set(pods)
        self._begin()

    # rate() can't see the first event of a counter that doesn't exist before it, so common series are made at once.
    def _begin(self) -> None:
        for part in _PARTS:
            for outcome in _OUTCOMES:
                self._handshakes[part, outcome]
        for direction in ("to_pod", "to_client"):
            self._bytes[direction,]
        for closer in ("client", "pod"):
            self._closes[closer, "eof"]
        of_errors = (error.reason for error in (*HEADER_ERRORS, *HELLO_ERRORS))
        for reason in ("too_many_connections", "connections_per_client", *of_errors):
            self._refused[reason,]
        self._requests["", "GET", "4xx"]
        self._attempts["", "", "ok"]
        self._fallbacks["", ""]
        self._retries["", ""]
        self._rate_limited["",]
        self._authorizations["", "ok"]
        self._tunnels["", ""]
        self._tls["client", "", "ok"]
        self._shaking["client",]
        self._route_full["",]
        self._endpoint_full["",]
        self._spans["channel_full",]
        self._hook_calls["", "continued"]
        self._hook_blocks["",]
        for family in (self._durations, self._authorizing, self._lives, self._hook_times):
            family["",]

    def know(self, routes: Iterable[Route]) -> None:
        """Make the series of these routes before their first event."""
        for route in routes:
            name = route.name
            self._durations[name,]
            for status in ("2xx", "5xx"):
                self._requests[name, "GET", status]
            for upstream in route.upstreams:
                for outcome in ("ok", "connect_refused"):
                    self._attempts[name, upstream.name, outcome]
            if route.rate_limit is not None:
                self._rate_limited[name,]
            if route.fallback is not None:
                self._attempts[name, route.fallback.name, "ok"]
                self._fallbacks[name, "connect_refused"]
            if route.retries:
                self._retries[name, "connect_refused"]
            if route.max_tunnels is not None:
                self._route_full[name,]
            for upstream in route.destinations:
                if upstream.max_tunnels is not None or upstream.max_requests is not None:
                    self._endpoint_full[upstream.name,]
            if route.authorize is not None:
                self._authorizing[name,]
                for outcome in ("ok", "authorize_denied", "authorize_failed", "authorize_deadline"):
                    self._authorizations[name, outcome]
            for hook in route.hooks:
                self._hook_times[hook.name,]
                self._hook_blocks[hook.name,]
                for outcome in ("continued", "answered", "failed", "deadline"):
                    self._hook_calls[hook.name, outcome]
            if route.upgrade:
                self._requests[name, "GET", "1xx"]
                self._tunnels[name, ""]
                self._lives[name,]

    # ---- the session's observer ----

    def tunnel_opened(self, record: Record) -> None:
        """See `Observer`."""
        route = record.route or ""
        self._tunnels[route, self._pod(route, record)].inc(1)
        self._tried(route, record)
        if not record.passed_through:
            self._requests[route, "GET", "1xx"].inc(1)
            self._shaken(record, "opened")

    def tunnel_over(self, record: Record) -> None:
        """See `Observer`."""
        self._bytes["to_pod",].inc(record.to_pod)
        self._bytes["to_client",].inc(record.to_client)
        self._closes[record.closer or "", record.close_reason or ""].inc(1)
        self._lives[record.route or "",].observe((record.ended or record.started) - record.started)

    def exchange_ended(self, record: Record) -> None:
        """See `Observer`."""
        route, method = record.route or "", record.method or ""
        if record.passed_through:
            self._tried(route, record)
            return
        if method and method not in _METHODS:
            method = "other"
        self._requests[route, method, _CLASSES.get(record.status, "none")].inc(1)
        self._tried(route, record)
        if (limit := self._by_limit.get(record.close_reason or "")) is not None:
            limit[route,].inc(1)
        if record.protocol is None:
            self._durations[route,].observe((record.ended or record.started) - record.started)
        elif record.attempts:
            self._shaken(record, "refused" if record.attempts[-1].failure is None else "failed")

    def connection_empty(self, peer: str) -> None:
        """See `Observer`."""
        self._empty.inc(1)

    def connection_refused(self, client: str, error: SplicerError) -> None:
        """See `Observer`."""
        self._refused[error.reason,].inc(1)

    def hook_called(self, record: Record, hook: str, outcome: HookOutcome, seconds: float, reason: str | None) -> None:
        """See `Observer`."""
        self._hook_calls[hook, outcome].inc(1)
        self._hook_times[hook,].observe(seconds)

    def hook_blocked(self, hook: str, seconds: float) -> None:
        """See `Observer`."""
        self._hook_blocks[hook,].inc(1)

    def tls_established(self, side: str, profile: str, seconds: float) -> None:
        """See `Observer`."""
        self._tls[side, profile, "ok"].inc(1)
        self._shaking[side,].observe(seconds)

    def tls_failed(self, side: str, peer: str, profile: str, failure: TlsFailure) -> None:
        """See `Observer`."""
        self._tls[side, profile, failure.reason].inc(1)

    def crashed(self, client: str, record: Record | None, error: Exception) -> None:
        """See `Observer`."""
        self._crashes.inc(1)

    def observer_failed(self) -> None:
        """An observer has raised an error."""
        self._observer_errors.inc(1)

    def _pod(self, route: str, record: Record) -> str:
        pod = record.endpoint.pod if record.endpoint is not None else ""
        if (route, pod) not in self._pods:
            if len(self._pods) >= _MAX_PODS:
                return "other"
            self._pods.add((route, pod))
        return pod

    def _tried(self, route: str, record: Record) -> None:
        attempts = record.attempts
        if record.authorize is not None:
            self._authorized(route, record.authorize, attempts)
        for attempt in attempts:
            self._attempts[route, attempt.upstream, attempt.failure or "ok"].inc(1)
            if attempt.failure == EndpointFull.reason:
                self._endpoint_full[attempt.upstream,].inc(1)
        if len(attempts) > 1:
            for before, after in pairwise(attempts):
                repeated = self._retries if before.fallback is after.fallback else self._fallbacks
                repeated[route, before.failure or ""].inc(1)

    def _authorized(self, route: str, asked: AuthorizeOutcome, attempts: list[AttemptOutcome]) -> None:
        self._authorizations[route, asked.failure or "ok"].inc(1)
        self._authorizing[route,].observe(asked.seconds)
        if attempts and attempts[0].fallback:
            self._fallbacks[route, asked.failure or ""].inc(1)

    def _shaken(self, record: Record, outcome: str) -> None:
        attempts = record.attempts
        parts = attempts[0] if len(attempts) == 1 else record.parts  # a sum of one is a waste
        self._handshakes["resolve", outcome].observe(parts.resolve)
        self._handshakes["connect", outcome].observe(parts.connect)
        self._handshakes["handshake", outcome].observe(parts.handshake)

    # ---- the rest of the process ----

    def dropped(self, lines: int) -> None:
        """Count dropped log lines; may be called from any thread."""
        with self._dropping:
            self._dropped.inc(lines)

    def spans_dropped(self, spans: int) -> None:
        """Count spans that the admin process did not take."""
        self._spans["channel_full",].inc(spans)

    def late(self, seconds: float) -> None:
        """Record how late a timer of the event loop was, in seconds."""
        self._lag.observe(seconds)
