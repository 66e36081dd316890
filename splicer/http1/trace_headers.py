"""The header fields that carry a trace: W3C Trace Context, and Zipkin's B3 in one field or in several.

https://www.w3.org/TR/trace-context/, https://github.com/openzipkin/b3-propagation
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from itertools import product

from splicer.model import Header, RequestHead
from splicer.trace import HEX_OF_TRACE, RequestTrace, SpanContext

W3C, B3, B3_MULTI = "w3c", "b3", "b3-multi"

_PARENT, _STATE, _B3 = b"traceparent", b"tracestate", b"b3"
_TRACE_ID, _SPAN_ID, _SAMPLED = b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled"
_PARENT_SPAN_ID, _FLAGS = b"x-b3-parentspanid", b"x-b3-flags"
_LONGEST_STATE = 512  # bytes; a longer tracestate is dropped as a whole
_MOST_MEMBERS = 32
_LONGEST_PARENT = 512  # bytes; a later version may be longer than 55, but nothing needs so much
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*+)?")
_ONE_FIELD = re.compile(r"([0-9a-f]{32}|[0-9a-f]{16})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?")
_ID_OF_TRACE, _ID_OF_SPAN = re.compile(r"[0-9a-f]{32}|[0-9a-f]{16}"), re.compile(r"[0-9a-f]{16}")
_STATE_TEXT = re.compile(r"[ -~\t]*+")
_DECISIONS = {"0": False, "1": True, "d": True}
_OLDER_DECISIONS = {"0": False, "1": True, "false": False, "true": True}  # in several fields


def _spellings(names: Iterable[bytes]) -> frozenset[bytes]:
    """The names, and those that CGI and WSGI don't tell from them: with "_" for "-"."""
    dashes = (name.split(b"-") for name in names)
    return frozenset(
        b"".join(b"%b%b" % pair for pair in zip(parts, (*joints, b""), strict=True))
        for parts in dashes
        for joints in product((b"-", b"_"), repeat=len(parts) - 1)
    )


NAMES = _spellings((_PARENT, _STATE, _B3, _TRACE_ID, _SPAN_ID, _SAMPLED, _PARENT_SPAN_ID, _FLAGS))
"""All these fields, in lower case: who writes one of them replaces them all."""


def read_context(head: RequestHead, formats: Collection[str]) -> SpanContext | None:
    """The place in a trace that a request names; None: it names none, or only broken ones.

    Args:
        head: the request.
        formats: "b3" and "b3-multi" are read only if they are among them, after W3C's.
    """
    if (parents := head.values(_PARENT)) and (found := _traceparent(parents)) is not None:
        trace_id, span_id, sampled = found
        return SpanContext(trace_id, span_id, sampled, _tracestate(head.values(_STATE)))
    if B3 in formats and (fields := head.values(_B3)) and (context := _b3(fields)) is not None:
        return context
    return _b3_multi(head) if B3_MULTI in formats else None


def trace_fields(trace: RequestTrace, span_id: str, formats: Collection[str]) -> list[Header]:
    """The fields for the next server.

    Args:
        trace: the request's.
        span_id: of the span that waits for that server's answer.
        formats: those to write.
    """
    fields: list[Header] = []
    if W3C in formats:
        fields.append((b"traceparent", f"00-{trace.trace_id}-{span_id}-0{trace.sampled:d}".encode()))
        if trace.state:
            fields.append((b"tracestate", trace.state.encode("ascii")))
    if B3 in formats:
        fields.append((b"b3", f"{trace.trace_id}-{span_id}-{trace.sampled:d}".encode()))
    if B3_MULTI in formats:
        fields += [
            (b"X-B3-TraceId", trace.trace_id.encode()),
            (b"X-B3-SpanId", span_id.encode()),
            (b"X-B3-Sampled", b"1" if trace.sampled else b"0"),
        ]
    return fields


def _traceparent(values: list[bytes]) -> tuple[str, str, bool] | None:
    if len(values) != 1 or len(values[0]) > _LONGEST_PARENT:
        return None
    parts = _TRACEPARENT.fullmatch(values[0].decode("latin-1").strip(" \t"))
    if parts is None:
        return None
    version, trace_id, span_id, flags, rest = parts.groups()
    if version == "ff" or (version == "00" and rest) or not (trace_id.strip("0") and span_id.strip("0")):
        return None
    return trace_id, span_id, bool(int(flags, 16) & 1)


# Members are passed on as they are: only their sender knows what they mean, and no vendor may lose one of them.
def _tracestate(values: list[bytes]) -> str:
    state = ",".join(value.decode("latin-1").strip(" \t") for value in values if value)
    if len(state) > _LONGEST_STATE or state.count(",") >= _MOST_MEMBERS or not _STATE_TEXT.fullmatch(state):
        return ""
    return state


def _b3(values: list[bytes]) -> SpanContext | None:
    if len(values) != 1:
        return None
    text = values[0].decode("latin-1")
    if text in _DECISIONS:
        return SpanContext("", "", _DECISIONS[text])
    parts = _ONE_FIELD.fullmatch(text)
    if parts is None or not (parts[1].strip("0") and parts[2].strip("0")):
        return None
    return SpanContext(_padded(parts[1]), parts[2], None if parts[3] is None else _DECISIONS[parts[3]])


def _b3_multi(head: RequestHead) -> SpanContext | None:
    trace_id, span_id = _only(head, _TRACE_ID), _only(head, _SPAN_ID)
    sampled = True if _only(head, _FLAGS) == "1" else _OLDER_DECISIONS.get(_only(head, _SAMPLED))
    if _ID_OF_TRACE.fullmatch(trace_id) and _ID_OF_SPAN.fullmatch(span_id):
        if trace_id.strip("0") and span_id.strip("0"):
            return SpanContext(_padded(trace_id), span_id, sampled)
    elif sampled is not None and not (trace_id or span_id):
        return SpanContext("", "", sampled)
    return None


def _only(head: RequestHead, name: bytes) -> str:
    values = head.values(name)
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _padded(trace_id: str) -> str:
    return trace_id.rjust(HEX_OF_TRACE, "0")
