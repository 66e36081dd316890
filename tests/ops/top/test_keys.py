"""Keys out of a terminal's bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ops.top.keys import KeyReader

SENT = {
    b"q": "q",
    b"/": "/",
    "ä".encode(): "ä",
    b"\r": "enter",
    b"\x7f": "backspace",
    b"\x15": "clear",
    b"\x1b[A": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page-up",
    b"\x1b[6~": "page-down",
    b"\x1b[H": "home",
    b"\x1b[4~": "end",
}


@given(st.lists(st.sampled_from(sorted(SENT)), max_size=10), st.data())
def test_keys_come_whole_however_their_bytes_come(sent: list[bytes], data: st.DataObject) -> None:
    rest, reader, keys = b"".join(sent), KeyReader(), []
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        keys += reader.feed(rest[:size])
        rest = rest[size:]
    assert keys == [SENT[each] for each in sent]
    assert not reader.waits


def test_the_key_esc_is_known_by_the_silence_after_it() -> None:
    reader = KeyReader()
    assert reader.feed(b"a\x1b") == ["a"]
    assert reader.waits
    assert reader.flush() == ["escape"]
    assert not reader.waits
    assert reader.flush() == []


@pytest.mark.parametrize("sequence", [b"\x1b[24~", b"\x1b[1;5C", b"\x1bOP", b"\x1b[?1;2c", b"\x00", b"\x1a", b"\xff"])
def test_other_keys_are_passed_over(sequence: bytes) -> None:
    assert KeyReader().feed(sequence + b"k") == ["k"]


def test_esc_and_a_key_at_once_are_both() -> None:
    assert KeyReader().feed(b"\x1bq") == ["escape", "q"]


def test_a_sequence_without_an_end_is_given_up() -> None:
    reader = KeyReader()
    reader.feed(b"\x1b[" + b"1" * 100)
    assert not reader.waits


@given(st.binary(max_size=40))
def test_any_bytes_are_borne(data: bytes) -> None:
    reader = KeyReader()
    for key in (*reader.feed(data), *reader.flush()):
        assert key.isprintable()
