"""Facts and spans that hypothesis draws, and a few that are usual."""

from __future__ import annotations

from typing import Any

from attrs import define
from hypothesis import strategies as st

from splicer.authorization import AuthorizeOutcome
from splicer.model import Endpoint
from splicer.otlp.encoder import FAILED, attributes, encode_span, event_at, linked, named, trace_state
from splicer.quality import Quality
from splicer.record import AttemptOutcome, Record
from splicer.trace import RequestTrace, SpanContext

TRACE, SPAN, ATTEMPT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
EPOCH = 1_796_000_000_000_000_000  # nanoseconds

nanoseconds = st.integers(0, 2**63)
text = st.text(max_size=200)
pairs = st.lists(
    st.tuples(text, text | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)), max_size=6
)
trace_ids, span_ids = (st.binary(min_size=size, max_size=size).map(bytes.hex) for size in (16, 8))
links = st.tuples(trace_ids, span_ids, text, st.booleans())


@define
class Drawn:
    """A span before its encoding."""

    trace_id: str
    span_id: str
    parent: str
    state: str
    name: str
    kind: int
    epoch: int
    started: float
    ended: float
    told: list[tuple[str, Any]]
    events: list[tuple[int, str]]
    links: list[tuple[str, str, str, bool]]
    error: bool
    remote: bool

    def encoded(self) -> bytes:
        more = named(self.name, self.kind, remote=self.remote) + attributes(self.told) + trace_state(self.state)
        more += b"".join(event_at(name)(when) for when, name in self.events) + (FAILED if self.error else b"")
        more += b"".join(linked(trace, span, state, remote=remote) for trace, span, state, remote in self.links)
        return encode_span(self.trace_id, self.span_id, self.parent, self.epoch, self.started, self.ended, more)


spans = st.builds(
    Drawn,
    trace_id=trace_ids,
    span_id=span_ids,
    parent=st.just("") | span_ids,
    state=text,
    name=text,
    kind=st.sampled_from([1, 2, 3]),
    epoch=nanoseconds,
    started=st.floats(0, 1e6),
    ended=st.floats(0, 1e6),
    told=pairs,
    events=st.lists(st.tuples(nanoseconds, text), max_size=3),
    links=st.lists(links, max_size=3),
    error=st.booleans(),
    remote=st.booleans(),
)


def attempt(**more: Any) -> AttemptOutcome:
    known: dict[str, Any] = {
        "upstream": "pod",
        "endpoint": "10.0.0.1:8000",
        "pod": "agent-3",
        "started": 10.0,
        "resolved": 10.001,
        "connected": 10.002,
        "answered": 10.01,
        "target": "agent-3.pods.test:8000/x",
        "status": 200,
        "span": ATTEMPT,
    }
    return AttemptOutcome(**{**known, **more})


def trace(**more: Any) -> RequestTrace:
    known: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "sampled": True,
        "agent": "a caller",
        "peer": "10.9.9.9",
        "pattern": "/ws/*",
    }
    return RequestTrace(**{**known, **more})


def record(**more: Any) -> Record:
    known: dict[str, Any] = {
        "id": SPAN,
        "client": "192.0.2.7",
        "started": 9.99,
        "method": "GET",
        "path": "/ws/x",
        "query": "token=secret",
        "host": "edge.test:8443",
        "route": "calls",
        "request_id": "r-1",
        "status": 200,
        "close_reason": "complete",
        "ended": 10.02,
        "trace": trace(),
        "attempts": [attempt()],
    }
    return Record(**{**known, **more})


def call(**more: Any) -> Record:
    known: dict[str, Any] = {
        "endpoint": Endpoint("agent-3", "10.0.0.1", 8000),
        "protocol": "websocket",
        "status": 101,
        "to_pod": 1000,
        "to_client": 2000,
        "closer": "client",
        "close_reason": "eof",
        "ended": 100.0,
        "adopted": 1,
        "client_line": Quality(0.0205, 3),
        "trace": trace(opened=10.01),
    }
    return record(**{**known, **more})


STRANGER = SpanContext("1" * 32, "2" * 16, True, "a=1")
ASKED = AuthorizeOutcome(
    "10.0.0.9:80", 200, None, None, 0.005, started=9.992, upstream="gate", target="gate.test:80/ask", span="a" * 16
)
