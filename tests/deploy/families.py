"""What /metrics shows: each family's kind and labels; a label's values only where they are few."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Family(NamedTuple):
    """A metric family; a counter's name is that of its samples, with `_total`."""

    kind: Kind
    labels: Mapping[str, frozenset[str]]


def _family(kind: Kind, **labels: str) -> Family:
    return Family(kind, {label: frozenset(values.split()) for label, values in labels.items()})


FAMILIES: Mapping[str, Family] = {
    f"splicer_{name}": family
    for name, family in {
        "connections_active": _family("gauge"),
        "connections_total": _family("counter"),
        "connections_refused_total": _family("counter", reason=""),
        "connections_empty_total": _family("counter"),
        "rate_limited_total": _family("counter", route=""),
        "requests_total": _family("counter", route="", method="", status="1xx 2xx 3xx 4xx 5xx none"),
        "request_duration_seconds": _family("histogram", route=""),
        "handshake_duration_seconds": _family(
            "histogram", part="resolve connect handshake", outcome="opened refused failed"
        ),
        "attempts_total": _family("counter", route="", upstream="", outcome=""),
        "fallbacks_total": _family("counter", route="", reason=""),
        "retries_total": _family("counter", route="", reason=""),
        "route_full_total": _family("counter", route=""),
        "endpoint_full_total": _family("counter", upstream=""),
        "authorize_total": _family("counter", route="", outcome=""),
        "authorize_duration_seconds": _family("histogram", route=""),
        "hook_calls_total": _family("counter", hook="", outcome="continued answered failed deadline"),
        "hook_duration_seconds": _family("histogram", hook=""),
        "hook_blocks_total": _family("counter", hook=""),
        "tunnels_active": _family("gauge", route="", pod=""),
        "tunnels_total": _family("counter", route="", pod=""),
        "tunnel_duration_seconds": _family("histogram", route=""),
        "tunnel_bytes_total": _family("counter", direction="to_pod to_client"),
        "tunnel_closes_total": _family("counter", closer="client pod proxy", reason=""),
        "tunnels_adopted_total": _family("counter"),
        "endpoint_tunnels_most": _family("gauge", upstream=""),
        "endpoints": _family("gauge", upstream="", state="up down unknown not_ready terminating unhealthy ejected"),
        "ejections_total": _family("counter", upstream="", reason=""),
        "ejections_refused_total": _family("counter", upstream=""),
        "health_checks_total": _family("counter", upstream="", outcome=""),
        "health_check_duration_seconds": _family("histogram", upstream=""),
        "health_checks_late_total": _family("counter"),
        "resolver_queries_total": _family("counter"),
        "resolver_failures_total": _family("counter"),
        "resolver_cache_hits_total": _family("counter"),
        "resolver_stale_answers_total": _family("counter"),
        "config_generation": _family("gauge"),
        "admin_streams": _family("gauge"),
        "config_last_reload_success": _family("gauge"),
        "config_last_reload_timestamp_seconds": _family("gauge"),
        "config_reloads_total": _family("counter", result="ok failed"),
        "discovery_synced": _family("gauge", service=""),
        "discovery_unsynced_seconds": _family("gauge", service=""),
        "discovery_events_total": _family("counter", type="ADDED MODIFIED DELETED BOOKMARK"),
        "discovery_lists_total": _family("counter", reason=""),
        "discovery_failures_total": _family("counter", reason=""),
        "discovery_rows_skipped_total": _family("counter", reason="address family name port"),
        "endpoint_snapshot_generation": _family("gauge"),
        "discovery_restarts_total": _family("counter"),
        "workers_wanted": _family("gauge"),
        "workers_serving": _family("gauge"),
        "worker_restarts_total": _family("counter"),
        "tls_handshakes_total": _family("counter", side="client pod", profile="", outcome=""),
        "tls_handshake_duration_seconds": _family("histogram", side="client pod"),
        "tls_connections": _family("gauge", generation="current old"),
        "tls_processes": _family("gauge", state="starting serving leaving"),
        "tls_restarts_total": _family("counter"),
        "tls_truncated_total": _family("counter"),
        "certificate_not_after_timestamp_seconds": _family("gauge", profile="", name=""),
        "certificate_reload_success": _family("gauge", profile=""),
        "vault_connected": _family("gauge", worker=""),
        "relay_workers": _family("gauge", mover="native python"),
        "pipes": _family("gauge", state="pooled parked"),
        "event_loop_lag_seconds": _family("histogram"),
        "log_lines_dropped_total": _family("counter"),
        "spans_total": _family("counter", result="sent queue_full refused unreachable channel_full"),
        "span_queue": _family("gauge"),
        "crashes_total": _family("counter"),
        "observer_errors_total": _family("counter"),
        "draining": _family("gauge"),
        "drain_remaining_tunnels": _family("gauge", scope="all pod route", name=""),
        "start_time_seconds": _family("gauge"),
        "build_info": _family("gauge", version=""),
    }.items()
}
