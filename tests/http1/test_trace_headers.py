"""W3C's list of headers, good and bad (the test suite of the Trace Context specification), and B3's."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.http1.trace_headers import NAMES, read_context, trace_fields
from splicer.model import Header, RequestHead
from splicer.trace import RequestTrace, SpanContext

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
ZEROS = "0" * 32
EVERY = ("w3c", "b3", "b3-multi")


def head(*fields: Header) -> RequestHead:
    return RequestHead("GET", "/", "/", None, "a.test", "1.1", fields)


def read(*values: str, state: tuple[str, ...] = ()) -> SpanContext | None:
    parents = [(b"TraceParent", value.encode("latin-1")) for value in values]
    return read_context(head(*parents, *((b"tracestate", value.encode("latin-1")) for value in state)), EVERY)


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-02", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f" \t00-{TRACE}-{SPAN}-01\t ", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
        (f"01-{TRACE}-{SPAN}-00-", False),
    ],
)
def test_good_ones(value: str, sampled: bool) -> None:
    assert read(value) == SpanContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-",
        f"ff-{TRACE}-{SPAN}-01",
        f".0-{TRACE}-{SPAN}-01",
        f"0.-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f"0000-{TRACE}-{SPAN}-01",
        f"FF-{TRACE}-{SPAN}-01",
        f"00-{ZEROS}-{SPAN}-01",
        f"00-.{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE[:-1]}.-{SPAN}-01",
        f"00-{TRACE}3-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE[:-1]}A-{SPAN}-01",
        f"00-{TRACE}-{ZEROS[:16]}-01",
        f"00-{TRACE}-.{SPAN[1:]}-01",
        f"00-{TRACE}-{SPAN[:-1]}.-01",
        f"00-{TRACE}-{SPAN}7-01",
        f"00-{TRACE}-{SPAN[1:]}-01",
        f"00-{TRACE}-{SPAN[:-1]}B-01",
        f"00-{TRACE}-{SPAN}-.0",
        f"00-{TRACE}-{SPAN}-0.",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0A",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-what-the-future-will-not-be-like",
        f"cc-{TRACE}-{SPAN}-01.what-the-future-will-not-be-like",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 600}",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE}-{SPAN}-01\u00a0",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        f"\u00b9\u00b2-{TRACE}-{SPAN}-01",
    ],
)
def test_bad_ones_are_none(value: str) -> None:
    assert read(value) is None
    assert read(value, state=("a=1",)) is None


def test_two_of_them_are_none() -> None:
    assert read(f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01") is None


MEMBERS = [f"bar{number:02}={number:02}" for number in range(33)]


@pytest.mark.parametrize(
    ("values", "state"),
    [
        (("foo=1",), "foo=1"),
        (("foo=1", "bar=2"), "foo=1,bar=2"),
        (("foo=1", "", "bar=2"), "foo=1,bar=2"),
        ((" foo=1 \t , \t bar=2, \t baz=3",), "foo=1 \t , \t bar=2, \t baz=3"),
        (("foo@=1,@bar=2",), "foo@=1,@bar=2"),
        (("",), ""),
        ((",".join(MEMBERS[:32]),), ",".join(MEMBERS[:32])),
        ((",".join(MEMBERS),), ""),
        ((f"a={'x' * 510}",), f"a={'x' * 510}"),
        ((f"a={'x' * 511}",), ""),
        (("foo=\u00e9",), ""),
        (("foo=\x7f",), ""),
    ],
)
def test_the_state_goes_with_it_as_a_whole_or_not_at_all(values: tuple[str, ...], state: str) -> None:
    assert read(f"00-{TRACE}-{SPAN}-01", state=values) == SpanContext(TRACE, SPAN, True, state)


@pytest.mark.parametrize(
    ("value", "context"),
    [
        (f"{TRACE}-{SPAN}-1", SpanContext(TRACE, SPAN, True)),
        (f"{TRACE}-{SPAN}-0", SpanContext(TRACE, SPAN, False)),
        (f"{TRACE}-{SPAN}-d", SpanContext(TRACE, SPAN, True)),
        (f"{TRACE}-{SPAN}", SpanContext(TRACE, SPAN, None)),
        (f"{TRACE}-{SPAN}-1-{SPAN}", SpanContext(TRACE, SPAN, True)),
        (f"{SPAN}-{SPAN}-1", SpanContext(f"{ZEROS[:16]}{SPAN}", SPAN, True)),
        ("0", SpanContext("", "", False)),
        ("1", SpanContext("", "", True)),
        ("d", SpanContext("", "", True)),
        ("true", None),
        (f"{TRACE}-{ZEROS[:16]}-1", None),
        (f"{ZEROS}-{SPAN}-1", None),
        (f"{TRACE}-{SPAN}-2", None),
        (f"{TRACE}-{SPAN}-1-", None),
        (f"{TRACE}-{SPAN}-1-zz", None),
        (f"{TRACE[1:]}-{SPAN}-1", None),
        ("", None),
    ],
)
def test_b3_in_one_field(value: str, context: SpanContext | None) -> None:
    field = (b"b3", value.encode())
    assert read_context(head(field), ("b3",)) == context
    assert read_context(head(field), ("w3c", "b3-multi")) is None
    assert read_context(head(field, field), ("b3",)) is None


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        ({"TraceId": TRACE, "SpanId": SPAN, "Sampled": "1"}, SpanContext(TRACE, SPAN, True)),
        ({"TraceId": TRACE, "SpanId": SPAN, "Sampled": "0"}, SpanContext(TRACE, SPAN, False)),
        ({"TraceId": TRACE, "SpanId": SPAN, "Sampled": "false"}, SpanContext(TRACE, SPAN, False)),
        ({"TraceId": TRACE, "SpanId": SPAN, "Flags": "1"}, SpanContext(TRACE, SPAN, True)),
        ({"TraceId": TRACE, "SpanId": SPAN, "ParentSpanId": SPAN}, SpanContext(TRACE, SPAN, None)),
        ({"TraceId": SPAN, "SpanId": SPAN}, SpanContext(f"{ZEROS[:16]}{SPAN}", SPAN, None)),
        ({"Sampled": "0"}, SpanContext("", "", False)),
        ({"TraceId": TRACE}, None),
        ({"SpanId": SPAN, "Sampled": "1"}, None),
        ({"TraceId": ZEROS, "SpanId": SPAN}, None),
        ({"TraceId": TRACE.replace("1", "A"), "SpanId": SPAN}, None),
        ({}, None),
    ],
)
def test_b3_in_several_fields(fields: dict[str, str], context: SpanContext | None) -> None:
    given = [(f"X-B3-{name}".encode(), value.encode()) for name, value in fields.items()]
    assert read_context(head(*given), ("b3-multi",)) == context
    assert read_context(head(*given), ("w3c", "b3")) is None


def test_the_order_is_w3c_then_one_field_then_several() -> None:
    several = ((b"X-B3-TraceId", b"3" * 32), (b"X-B3-SpanId", b"3" * 16))
    one = (b"b3", b"2" * 32 + b"-" + b"2" * 16)
    w3c = (b"traceparent", b"00-" + b"1" * 32 + b"-" + b"1" * 16 + b"-00")
    broken = (b"traceparent", b"00-" + b"1" * 32)

    def trace_of(*fields: Header) -> str:
        context = read_context(head(*fields), EVERY)
        assert context is not None
        return context.trace_id[:1]

    assert trace_of(*several, one, w3c) == "1"
    assert trace_of(*several, one, broken) == "2"
    assert trace_of(*several, (b"b3", b"x"), broken) == "3"


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.text("0123456789abcdef", min_size=16, max_size=16))
def test_what_is_written_is_read(trace_id: str, span_id: str) -> None:
    for formats, sampled in product((("w3c",), ("b3",), ("b3-multi",), EVERY), (False, True)):
        fields = trace_fields(RequestTrace(trace_id, "f" * 16, sampled), span_id, formats)
        known = bool(trace_id.strip("0") and span_id.strip("0"))
        assert read_context(head(*fields), formats) == (SpanContext(trace_id, span_id, sampled) if known else None)


def test_what_is_written() -> None:
    trace = RequestTrace(TRACE, "f" * 16, sampled=True, state="a=1")
    assert dict(trace_fields(trace, SPAN, EVERY)) == {
        b"traceparent": f"00-{TRACE}-{SPAN}-01".encode(),
        b"tracestate": b"a=1",
        b"b3": f"{TRACE}-{SPAN}-1".encode(),
        b"X-B3-TraceId": TRACE.encode(),
        b"X-B3-SpanId": SPAN.encode(),
        b"X-B3-Sampled": b"1",
    }


def test_every_spelling_of_a_name_is_known() -> None:
    assert {b"traceparent", b"tracestate", b"b3", b"x-b3-traceid", b"x_b3_spanid", b"x-b3_flags"} <= NAMES
    assert len(NAMES) == 3 + 5 * 4


@given(st.lists(st.tuples(st.sampled_from(sorted(NAMES)), st.binary(max_size=70)), max_size=6))
def test_no_bytes_raise(fields: list[Header]) -> None:
    read_context(head(*fields), EVERY)
