"""The access log: a line when a tunnel opens, at intervals while it lives, and when it or an exchange ends.

Each call has two lines. So their fields are written as JSON at once, without a dict, in a third of the time.
"""

from __future__ import annotations

import json
import traceback

import attrs
import trio
from attrs import define

from splicer.arrival import Arrival
from splicer.authorization import AuthorizeOutcome
from splicer.errors import SplicerError
from splicer.hello_errors import HelloError
from splicer.hooks import LogValue
from splicer.observe.line_quality import line_qualities
from splicer.observe.log import Logger
from splicer.observe.render import json_text
from splicer.observe.scarce import Scarce
from splicer.observer import Observer
from splicer.proxyproto.errors import ProxyProtocolError
from splicer.quality import Quality
from splicer.record import AttemptOutcome, Record
from splicer.relay.api import TunnelView
from splicer.tls_facts import TLS_EMPTY, TlsFacts, TlsFailure

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
    _scarce: Scarce = attrs.field(factory=Scarce, init=False)
    _scarce_tls: Scarce = attrs.field(factory=Scarce, init=False)

    def tunnel_opened(self, record: Record) -> None:
        """See `Observer`."""
        if record.logged:
            told = f"{self._request(record)}, {_handshake(record)}"
            if record.passed_through:
                self.log.info_json("passthrough_open", told)
            else:
                self.log.info_json("tunnel_open", told)

    def tunnel_closed(self, record: Record) -> None:
        """See `Observer`."""
        if record.logged:
            lines = _lines(record.client_line, record.pod_line)
            told = (
                f'{self._request(record)}, {_handshake(record)}, {_end(record)}, "adopted": {record.adopted}, {lines}'
            )
            if record.passed_through:
                self.log.info_json("passthrough_close", told)
            else:
                self.log.info_json("tunnel_close", told)

    def tunnel_goes_on(self, tunnel: TunnelView[Record]) -> None:
        """The tunnel has been open for another `log.progress` interval."""
        record = tunnel.owner
        if record.logged:
            now = trio.current_time()
            told = (
                f'{self._request(record)}, "pod": {_text(record.endpoint.pod if record.endpoint else None)}, '
                f'"bytes_to_pod": {tunnel.to_pod}, "bytes_to_client": {tunnel.to_client}, '
                f'"duration_ms": {_ms(now - record.started)}, "idle_ms": {_ms(tunnel.idle(now))}, '
                f'"adopted": {record.adopted}, {_lines(*line_qualities(tunnel))}'
            )
            self.log.info_json("tunnel_progress", told)

    def exchange_ended(self, record: Record) -> None:
        """See `Observer`."""
        if record.logged:
            told = f"{self._request(record)}, {_handshake(record)}, {_end(record)}"
            if record.passed_through:
                self.log.info_json("passthrough_close", told)
            else:
                self.log.info_json("exchange", told)

    def connection_refused(self, client: str, error: SplicerError) -> None:
        """See `Observer`."""
        if isinstance(error, ProxyProtocolError | HelloError):  # it gets no answer
            if (left_out := self._scarce.take()) is not None:
                more = {"more": left_out} if left_out else {}
                detail = error.detail[:200]
                self.log.warning("connection_refused", client=client, reason=error.reason, detail=detail, **more)
        else:
            self.log.warning("connection_refused", client=client, reason=error.reason, status=error.status)

    # Scanners try many things, one after another.
    def tls_failed(self, side: str, peer: str, profile: str, failure: TlsFailure) -> None:
        """See `Observer`. A port check of a load balancer has no line, and a pod's failure is in the attempt's."""
        if side != "client" or failure.reason == TLS_EMPTY:
            return
        more = self._scarce_tls.take()
        if more is None:
            return
        self.log.warning(
            "tls_failed",
            client=peer,
            profile=profile,
            reason=failure.reason,
            detail=failure.detail[:200],
            sni=failure.sni,
            **({"more": more} if more else {}),
        )

    def crashed(self, client: str, record: Record | None, error: Exception) -> None:
        """See `Observer`."""
        self.log.error(
            "crash",
            id=record.id if record else None,
            client=client,
            error=repr(error),
            traceback="".join(traceback.format_exception(error))[-2000:],
        )

    def _request(self, record: Record) -> str:
        told = (
            f'"id": {json_text(record.id)}, "route": {_text(record.route)}, "client": {json_text(record.client)}, '
            f'"method": {_text(record.method)}, "host": {_text(record.host)}, "path": {_text(record.path)}'
        )
        if record.arrival is not None:
            told += _arrival(record.arrival, beside_tls=record.tls is not None)
        if record.tls is not None:
            told += _tls(record.tls)
        if self.query and record.query is not None:
            told += f', "query": {_text(record.query)}'
        for field, value in record.headers:
            told += f', "{field}": {json_text(value)}'
        if record.request_id not in (None, record.id):
            told += f', "request_id": {_text(record.request_id)}'
        if (trace := record.trace) is not None:
            told += f', "trace_id": "{trace.trace_id}", "span_id": "{trace.span_id}", "trace_sampled": '
            told += "true" if trace.sampled else "false"
        return told


def _arrival(arrival: Arrival, *, beside_tls: bool) -> str:
    told = f', "via": {json_text(arrival.via)}'
    for field, value in arrival.facts:
        if not (beside_tls and field.startswith("tls_")):
            told += f', "{field}": {json_text(value)}'
    return told


def _tls(facts: TlsFacts) -> str:
    told = (
        f', "tls_version": {json_text(facts.version)}, "tls_cipher": {json_text(facts.cipher)}, '
        f'"tls_sni": {_text(facts.sni)}, "tls_ms": {_ms(facts.seconds)}, '
        f'"tls_resumed": {"true" if facts.resumed else "false"}'
    )
    return told if facts.peer is None else f'{told}, "tls_client": {_text(facts.peer.name)}'


def _handshake(record: Record) -> str:
    told = f'"status": {"null" if record.status is None or record.passed_through else record.status}'
    if record.upstream is not None:
        attempts, endpoint = record.attempts, record.endpoint
        parts = attempts[0] if len(attempts) == 1 else record.parts
        told += (
            f', "upstream": {json_text(record.upstream)}, "target": {_text(record.target)}, '
            f'"pod": {json_text(endpoint.pod) if endpoint else "null"}, '
            f'"endpoint": {json_text(str(endpoint)) if endpoint else "null"}, '
            f'"attempts": [{", ".join([_attempt(attempt) for attempt in attempts])}], '
            f'"resolve_ms": {_ms(parts.resolve)}, "connect_ms": {_ms(parts.connect)}, '
            f'"handshake_ms": {_ms(parts.handshake)}'
        )
        if record.pod_tls is not None:
            told += (
                f', "pod_tls_version": {json_text(record.pod_tls.version)}, "pod_tls_ms": {_ms(record.pod_tls.seconds)}'
            )
    if record.authorize is not None:
        told += _authorize(record.authorize)
    if record.hook_fields:
        fields = [f"{json_text(key)}: {_value(value)}" for key, value in record.hook_fields]
        told += f', "hooks": {{{", ".join(fields)}}}'
    if record.protocol is not None:
        told += f', "protocol": {_text(record.protocol)}'
    return told


def _authorize(asked: AuthorizeOutcome) -> str:
    told = (
        f', "authorize_endpoint": {_text(asked.endpoint)}, '
        f'"authorize_status": {"null" if asked.status is None else asked.status}, "authorize_ms": {_ms(asked.seconds)}'
    )
    if asked.failure is not None:
        told += f', "authorize_failure": {_text(asked.failure)}'
    return told if asked.detail is None else f'{told}, "authorize_detail": {_text(asked.detail[:200])}'


def _end(record: Record) -> str:
    told = (
        f'"bytes_to_pod": {record.to_pod}, "bytes_to_client": {record.to_client}, '
        f'"duration_ms": {_ms((record.ended or trio.current_time()) - record.started)}, '
        f'"closed_by": {_text(record.closer)}, "reason": {_text(record.close_reason)}'
    )
    return told if record.detail is None else f'{told}, "detail": {_text(record.detail)}'


def _attempt(attempt: AttemptOutcome) -> str:
    told = (
        f'"upstream": {json_text(attempt.upstream)}, "endpoint": {_text(attempt.endpoint)}, '
        f'"failure": {_text(attempt.failure)}'
    )
    return f"{{{told}}}" if attempt.detail is None else f'{{{told}, "detail": {_text(attempt.detail[:200])}}}'


def _lines(client: Quality | None, pod: Quality | None) -> str:
    return f"{_line(client, 'client')}, {_line(pod, 'pod')}"


def _line(quality: Quality | None, side: str) -> str:
    if quality is None:
        return f'"{side}_rtt_ms": null, "{side}_retransmits": null'
    return f'"{side}_rtt_ms": {_ms(quality.rtt)}, "{side}_retransmits": {quality.retransmits}'


def _value(value: LogValue) -> str:
    return _text(value) if isinstance(value, str) else json.dumps(value)


# The text of `round(seconds * 1000, 3)`, in half the time: a call's lines have nine of them.
def _ms(seconds: float) -> str:
    if not seconds:
        return "0.0"
    text = f"{seconds * 1000:.3f}".rstrip("0")
    return text + "0" if text[-1] == "." else text


def _text(text: str | None) -> str:
    if text is None:
        return "null"
    return json_text(text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "…")
