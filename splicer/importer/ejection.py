"""Outlier detection and health checks of Envoy and Istio, as keys of an upstream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splicer.importer.draft import Named
from splicer.importer.ledger import Ledger, Verdict
from splicer.importer.times import duration, seconds_of
from splicer.importer.yaml_source import Node, mark_rest

_NUMBER, _TIME = "number", "time"
_KEYS: Mapping[str, tuple[str, str]] = {
    "consecutive_5xx": ("consecutive_errors", _NUMBER),
    "consecutive5xxErrors": ("consecutive_errors", _NUMBER),
    "consecutive_gateway_failure": ("consecutive_errors", _NUMBER),
    "consecutiveGatewayErrors": ("consecutive_errors", _NUMBER),
    "consecutiveErrors": ("consecutive_errors", _NUMBER),
    "base_ejection_time": ("base_ejection_time", _TIME),
    "baseEjectionTime": ("base_ejection_time", _TIME),
    "max_ejection_time": ("max_ejection_time", _TIME),
    "max_ejection_percent": ("max_ejection_percent", _NUMBER),
    "maxEjectionPercent": ("max_ejection_percent", _NUMBER),
}
_EVERY_5XX = ("consecutive_5xx", "consecutive5xxErrors")
_GATEWAY = ("consecutive_gateway_failure", "consecutiveGatewayErrors", "consecutiveErrors")
_PERCENT = 10  # Envoy's default
_COUNTED = "errors of all workers count together; nothing after the head of an answer counts, so no end of a call does"
_CHECK = {"interval": _TIME, "timeout": _TIME, "unhealthy_threshold": _NUMBER, "healthy_threshold": _NUMBER}


def outlier_detection(ledger: Ledger, upstreams: Sequence[Named], node: Node) -> None:
    """Set `outlier_detection`.

    Args:
        ledger: gets the verdicts.
        upstreams: the tables that get it.
        node: Envoy's or Istio's; nothing is set without one.
    """
    if not node.is_there or not upstreams:
        return
    every = any(node.get(key).number() for key in _EVERY_5XX)
    for name, item in node.items():
        if name in _GATEWAY and every:
            ledger_note = "consecutive_errors has one value: that for all of 5xx"
            mark_rest(ledger, item, Verdict.DIFFERS, ledger_note)
        elif name in _KEYS and (value := _value(item, _KEYS[name][1])) is not None:
            for upstream in upstreams:
                upstream.put(("outlier_detection", _KEYS[name][0]), value, *item.leaves())
            if _KEYS[name][0] == "consecutive_errors":
                mark_rest(ledger, item, Verdict.DIFFERS, _COUNTED)
        elif name == "interval":
            mark_rest(ledger, item, Verdict.NO_NEED, "each answer is looked at when it comes")
        else:
            mark_rest(
                ledger, item, Verdict.LOST, "there is no counterpart; see outlier_detection in docs/configuration.md"
            )
    for upstream in upstreams:
        if upstream.get("outlier_detection", "max_ejection_percent") is None:
            upstream.put(("outlier_detection", "max_ejection_percent"), _PERCENT)
        if every:
            upstream.put(("outlier_detection", "statuses"), [500, 501, 502, 503, 504])


def _value(node: Node, kind: str) -> int | str | None:
    if kind == _NUMBER:
        return node.number() or None
    seconds = seconds_of(node.text)
    return duration(seconds) if seconds else None


def health_check(ledger: Ledger, upstream: Named, checks: Node) -> None:
    """Set `health_check`, by the first of Envoy's checks.

    Args:
        ledger: gets the verdicts.
        upstream: the table that gets it.
        checks: Envoy's `health_checks`.
    """
    for check in checks.each()[:1]:
        path = check.get("http_health_check", "path")
        if not path.is_there and not check.get("tcp_health_check").is_there:
            continue
        if path.is_there:
            upstream.put(("health_check", "path"), path.text, *path.leaves())
            for name, kind in _CHECK.items():
                if (value := _value(check.get(name), kind)) is not None:
                    upstream.put(("health_check", name), value, *check.get(name).leaves())
        else:
            upstream.put("health_check", "tcp", *check.get("tcp_health_check").leaves())
        ledger.hold(upstream.all_sources())
    mark_rest(ledger, checks, Verdict.LOST, "a check is a connect, or a GET whose answer is 2xx; see health_check")
