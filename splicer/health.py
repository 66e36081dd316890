"""The values of an upstream's `outlier_detection` and `health_check`."""

from __future__ import annotations

from attrs import frozen


@frozen
class OutlierDetection:
    """When an endpoint is ejected for the errors of requests, and for how long. Times are seconds.

    Args:
        consecutive_errors: so many errors in a row eject it.
        statuses: the answers that are errors; without any, only what brings no answer is one.
        base_ejection_time: the duration of its first ejection; that of the n-th in a row is n times as long.
        max_ejection_time: ... but no longer than this.
        max_ejection_percent: the most of the known endpoints that are ejected at once; one may always be.
    """

    consecutive_errors: int = 5
    statuses: frozenset[int] = frozenset({502, 503, 504})
    base_ejection_time: float = 30.0
    max_ejection_time: float = 300.0
    max_ejection_percent: int = 50


@frozen
class HealthCheck:
    """How endpoints are checked. Times are seconds.

    Args:
        path: the target of a GET; None: a connect is enough.
        port: the port to check; None: the endpoint's.
        interval: between two checks of an endpoint.
        timeout: for connect, request and the answer's head together.
        unhealthy_threshold: so many failures in a row make it unhealthy; at its first check, one does.
        healthy_threshold: so many successes in a row make it healthy again.
    """

    path: str | None = None
    port: int | None = None
    interval: float = 10.0
    timeout: float = 2.0
    unhealthy_threshold: int = 3
    healthy_threshold: int = 2
