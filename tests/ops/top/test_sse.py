"""Events out of bytes in any pieces."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ops.top import sse
from splicer.ops.top.sse import Event, EventReader

LINES = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=20)
KINDS = st.text("abc-ß", min_size=1, max_size=8)
EVENTS = st.lists(st.builds(Event, KINDS, st.lists(LINES, min_size=1, max_size=3).map("\n".join)), max_size=5)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def read(parts: list[bytes]) -> list[Event]:
    reader = EventReader()
    return [event for part in parts for event in reader.feed(part)]


@given(EVENTS, st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 10**6), max_size=10), st.booleans())
def test_what_was_written_is_read_however_it_is_cut(events: list[Event], end: str, cuts: list[int], bom: bool) -> None:
    text = "\ufeff" if bom else ""
    text += f": a comment{end}retry: 2000{end}{end}"
    for event in events:
        lines = [f"event: {event.kind}", *(f"data: {line}" for line in event.data.split("\n"))]
        text += "".join(line + end for line in lines) + end
    data = text.encode()
    assert read(pieces(data, cuts)) == events
    assert read([bytes([byte]) for byte in data]) == events


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_bytes_are_read_the_same_in_one_piece(parts: list[bytes]) -> None:
    assert read(parts) == read([b"".join(parts)])


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data:x\n\n", [Event("message", "x")]),
        (b"data:  x\n\n", [Event("message", " x")]),
        (b"data\ndata\n\n", [Event("message", "\n")]),
        (b"event: state\n\ndata: 1\n\n", [Event("message", "1")]),
        (b"data: 1\n", []),
        (b"id: 7\ndata: \xff\n\n", [Event("message", "\ufffd")]),
    ],
)
def test_the_standards_small_print(data: bytes, events: list[Event]) -> None:
    assert read([data]) == events


def test_an_event_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_MOST_BYTES", 1000)
    fits = json.dumps("x" * 800).encode()
    assert len(read([b"data: " + fits + b"\n\n"] * 5)) == 5
    for endless in ([b"data: "] + [b"x" * 100] * 11, [b"data: x\n"] * 200):
        with pytest.raises(ValueError, match="more than 1000 bytes"):
            read(endless)
