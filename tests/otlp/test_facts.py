from __future__ import annotations

import marshal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import Side
from splicer.otlp.facts import Attempt, Call, Request, call_packet, read_packet, request_packet, spans_in
from tests.otlp.samples import ASKED, ATTEMPT, EPOCH, SPAN, STRANGER, TRACE, attempt, call, record, trace


def test_a_request() -> None:
    told = record(attempts=[attempt(failure="connect_refused", status=None), attempt()], authorize=ASKED)
    packet = request_packet(told, trace(link=STRANGER, state="b=2"), 10.5, EPOCH, query=False)
    assert spans_in(packet) == 4
    facts = read_packet(packet)
    assert isinstance(facts, Request)
    assert (facts.epoch, facts.trace_id, facts.span_id, facts.ended) == (EPOCH, TRACE, SPAN, 10.5)
    assert facts.query is None
    assert facts.link == ("1" * 32, "2" * 16, "a=1")
    assert facts.state == "b=2"
    assert [one.failure for one in facts.attempts] == ["connect_refused", None]
    assert isinstance(facts.attempts[0], Attempt)
    assert facts.asked is not None
    assert facts.asked.target == "gate.test:80/ask"
    shown = read_packet(request_packet(told, trace(), 10.5, EPOCH, query=True))
    assert isinstance(shown, Request)
    assert shown.query == "token=secret"


def test_a_request_of_which_little_is_known() -> None:
    facts = read_packet(
        request_packet(record(method=None, path=None, host=None, attempts=[]), trace(), 1.0, 0, query=True)
    )
    assert isinstance(facts, Request)
    assert (facts.method, facts.path, facts.host, facts.attempts, facts.asked) == ("", "", "", [], None)


def test_a_call() -> None:
    packet = call_packet(call(closer=Side.POD), trace(opened=3.0), 5.0, EPOCH, own_trace="e" * 32, span_id=ATTEMPT)
    assert spans_in(packet) == 1
    facts = read_packet(packet)
    assert isinstance(facts, Call)
    assert (facts.parent, facts.own_trace, facts.span_id) == (SPAN, "e" * 32, ATTEMPT)
    assert (facts.opened, facts.ended, facts.closer, facts.pod) == (3.0, 5.0, "pod", "agent-3")
    assert (facts.client_line, facts.pod_line) == ((0.0205, 3), None)


def test_texts_from_outside_are_cut() -> None:
    told = record(path="/" * 30_000, query="q" * 30_000, host="h" * 30_000, attempts=[attempt(target="t" * 30_000)])
    packet = request_packet(told, trace(), 1.0, 0, query=True)
    assert len(packet) < 6000


def test_a_later_version_may_append_fields() -> None:
    packet = request_packet(record(authorize=ASKED), trace(), 1.0, 0, query=False)
    fields = list(marshal.loads(packet[1:]))
    attempts = 1 + Request._fields.index("attempts")
    fields[attempts] = [[*one, "more"] for one in fields[attempts]]
    fields[attempts + 1] = [*fields[attempts + 1], "more"]
    later = packet[:1] + marshal.dumps((*fields, "more", 1))
    assert read_packet(later) == read_packet(packet)
    called = call_packet(call(), trace(), 1.0, 0, own_trace="", span_id=SPAN)
    assert read_packet(called[:1] + marshal.dumps((*marshal.loads(called[1:]), 7))) == read_packet(called)


def test_an_earlier_version_lacks_what_came_later() -> None:
    packet = request_packet(record(), trace(), 1.0, 0, query=False)
    asked = Request._fields.index("asked")
    assert read_packet(packet[:1] + marshal.dumps(marshal.loads(packet[1:])[: 1 + asked + 1])) == read_packet(packet)


def test_a_later_kind_is_none() -> None:
    assert read_packet(b"\x01" + marshal.dumps(("another", 1))) is None


@pytest.mark.parametrize(
    "packet", [b"", b"\x01", b"\x01x", b"\x01" + marshal.dumps(7), b"\x01" + marshal.dumps(("request", 1, 2, 3))]
)
def test_what_is_no_packet(packet: bytes) -> None:
    assert spans_in(packet) == len(packet[:1])
    with pytest.raises(ValueError, match="no packet of spans"):
        read_packet(packet)


@given(st.integers(0, 300))
def test_the_number_of_spans_is_counted(attempts: int) -> None:
    packet = request_packet(record(attempts=[attempt()] * attempts), trace(), 1.0, 0, query=False)
    assert spans_in(packet) == min(255, 1 + attempts)
