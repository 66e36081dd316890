"""The access log: a line when a tunnel opens, at intervals while it lives, and when it or an exchange ends."""

from __future__ import annotations

import traceback
from typing import Any

import trio
from attrs import define

from splicer.errors import SplicerError
from splicer.model import AttemptOutcome, Record
from splicer.net.tcpinfo import quality
from splicer.observe.log import Logger
from splicer.observe.tunnel_rows import line
from splicer.observer import Observer
from splicer.relay.api import TunnelView

_MAX_CHARACTERS = 1024  # of one text; a log line has at most 4 KiB


@define
class AccessLog(Observer):
    """The session's observer that writes the log lines.

    Args:
        log: the logger for the lines.
        query: whether query strings are logged.
    """

    log: Logger
    query: bool = False

    def tunnel_opened(self, record: Record) -> None:
        """See `Observer`."""
        if record.logged:
            self.log.info("tunnel_open", **self._request(record), **_handshake(record))

    def tunnel_closed(self, record: Record) -> None:
        """See `Observer`."""
        if record.logged:
            fields = self._request(record) | _handshake(record) | _end(record)
            lines = line(record.client_line, "client") | line(record.pod_line, "pod")
            self.log.info("tunnel_close", **fields, adopted=record.adopted, **lines)

    def tunnel_goes_on(self, tunnel: TunnelView[Record]) -> None:
        """The tunnel has been open for another `log.progress` interval."""
        record = tunnel.owner
        if record.logged:
            now = trio.current_time()
            client, pod = tunnel.sockets
            lines = line(quality(client), "client") | line(quality(pod), "pod")
            self.log.info(
                "tunnel_progress",
                **self._request(record),
                pod=record.endpoint.pod if record.endpoint else None,
                bytes_to_pod=tunnel.to_pod,
                bytes_to_client=tunnel.to_client,
                duration_ms=_ms(now - record.started),
                idle_ms=_ms(tunnel.idle(now)),
                adopted=record.adopted,
                **lines,
            )

    def exchange_ended(self, record: Record) -> None:
        """See `Observer`."""
        if record.logged:
            self.log.info("exchange", **self._request(record), **_handshake(record), **_end(record))

    def connection_refused(self, client: str, error: SplicerError) -> None:
        """See `Observer`."""
        self.log.warning("connection_refused", client=client, reason=error.reason, status=error.status)

    def crashed(self, client: str, record: Record | None, error: Exception) -> None:
        """See `Observer`."""
        self.log.error(
            "crash",
            id=record.id if record else None,
            client=client,
            error=repr(error),
            traceback="".join(traceback.format_exception(error))[-2000:],
        )

    def _request(self, record: Record) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "id": record.id,
            "route": record.route,
            "client": record.client,
            "method": _shortened(record.method),
            "host": _shortened(record.host),
            "path": _shortened(record.path),
        }
        if self.query and record.query is not None:
            fields["query"] = _shortened(record.query)
        if record.request_id not in (None, record.id):
            fields["request_id"] = record.request_id
        return fields


def _handshake(record: Record) -> dict[str, Any]:
    fields: dict[str, Any] = {"status": record.status}
    if record.upstream is not None:
        parts = record.parts
        fields |= {
            "upstream": record.upstream,
            "target": _shortened(record.target),
            "pod": record.endpoint.pod if record.endpoint else None,
            "endpoint": str(record.endpoint) if record.endpoint else None,
            "attempts": [_attempt(attempt) for attempt in record.attempts],
            "resolve_ms": _ms(parts.resolve),
            "connect_ms": _ms(parts.connect),
            "handshake_ms": _ms(parts.handshake),
        }
    if record.protocol is not None:
        fields["protocol"] = record.protocol
    return fields


def _end(record: Record) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "bytes_to_pod": record.to_pod,
        "bytes_to_client": record.to_client,
        "duration_ms": _ms((record.ended or trio.current_time()) - record.started),
        "closed_by": record.closer,
        "reason": record.close_reason,
    }
    if record.detail is not None:
        fields["detail"] = _shortened(record.detail)
    return fields


def _attempt(attempt: AttemptOutcome) -> dict[str, str | None]:
    fields = {"upstream": attempt.upstream, "endpoint": attempt.endpoint, "failure": attempt.failure}
    if attempt.detail is not None:
        fields["detail"] = attempt.detail[:200]
    return fields


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _shortened(text: str | None) -> str | None:
    return text if text is None or len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "…"
