"""The discovery process's Prometheus counters and histograms, in files as those of workers (`observe.metrics`)."""

from __future__ import annotations

from collections.abc import Iterable

from splicer.model import Upstream
from splicer.observe.families import Families
from splicer.policy.slices import SKIPPED

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

# The words that series begin with; others get theirs when they are counted.
_EVENTS = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
_LISTS = ("start", "gone", "error")
_FAILURES = ("connect", "timeout")


class DiscoveryMetrics(Families):
    """Counts what the discovery process does; `metrics.keep_in` sets where the counts are kept."""

    def __init__(self) -> None:
        super().__init__()
        count, measure = self._counter, self._histogram
        self._ejections = count("ejections", "Endpoints ejected, by their last error.", "upstream", "reason")
        self._refused = count("ejections_refused", "Errors that did not eject since too many are.", "upstream")
        self._checks = count("health_checks", "Health checks.", "upstream", "outcome")
        self._durations = measure("health_check_duration_seconds", "How long they took.", "upstream", buckets=_SECONDS)
        self._late = count("health_checks_late", "Health checks that began more than a second late.")[()]
        self._events = count("discovery_events", "Events of watches.", "type")
        self._lists = count("discovery_lists", "Lists, by why.", "reason")
        self._failures = count("discovery_failures", "Failed requests to the API server.", "reason")
        self._skipped = count("discovery_rows_skipped", "Endpoints that give no row.", "reason")
        for words, family in ((_EVENTS, self._events), (_LISTS, self._lists), (_FAILURES, self._failures)):
            for word in words:
                family[word,]
        for reason in SKIPPED:
            self._skipped[reason,]
        self._ejections["", ""]
        self._refused["",]
        self._checks["", "ok"]
        self._durations["",]

    def know(self, upstreams: Iterable[Upstream]) -> None:
        """Make the series of these upstreams before their first event."""
        for upstream in upstreams:
            if upstream.outlier_detection is not None:
                for reason in ("connect_refused", "connect_deadline", "status"):
                    self._ejections[upstream.name, reason]
                self._refused[upstream.name,]
            if upstream.health_check is not None:
                for outcome in ("ok", "status", "connect_refused", "deadline"):
                    self._checks[upstream.name, outcome]
                self._durations[upstream.name,]

    def heard(self, event: str) -> None:
        """Count an event of a watch."""
        self._events[event,].inc(1)

    def listed(self, reason: str) -> None:
        """Count a list."""
        self._lists[reason,].inc(1)

    def api_failed(self, reason: str) -> None:
        """Count a failed request to the API server."""
        self._failures[reason,].inc(1)

    def skipped(self, reason: str, count: int) -> None:
        """Count endpoints that give no row."""
        self._skipped[reason,].inc(count)

    def ejected(self, upstream: str, reason: str) -> None:
        """See `discovery.judging.Counts`."""
        self._ejections[upstream, reason].inc(1)

    def ejection_refused(self, upstream: str) -> None:
        """See `discovery.judging.Counts`."""
        self._refused[upstream,].inc(1)

    def checked(self, upstream: str, outcome: str, seconds: float) -> None:
        """See `discovery.health_checks.Counts`."""
        self._checks[upstream, outcome].inc(1)
        self._durations[upstream,].observe(seconds)

    def check_late(self) -> None:
        """See `discovery.health_checks.Counts`."""
        self._late.inc(1)
