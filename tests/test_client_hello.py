"""The name in a client's first TLS message, in any records and any segments."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.client_hello import MOST, MOST_RECORDS, Hello, read_hello
from splicer.hello_errors import HelloError, MalformedHello, NotTls
from tests.kit.hellos import in_records, made_hello, real_hello, server_name
from tests.kit.laws import examples

_NAME = made_hello((10, b"\0\x02\0\x1d"), server_name(b"GRPC.example"), (16, b"\0\x03\x02h2"))
_SIZES = st.lists(st.integers(1, 40), max_size=20)


@pytest.mark.parametrize("name", ["grpc.example.com", "a.rtc.example.com", None])
def test_what_openssl_sends(name: str | None) -> None:
    data = real_hello(name, alpn=["h2"])
    assert read_hello(data) == read_hello(data + b"more") == Hello(name)


def test_a_name_is_in_lower_case() -> None:
    assert read_hello(in_records(_NAME)) == Hello("grpc.example")


@pytest.mark.parametrize(
    "message", [made_hello(), made_hello((10, b"")), b"\x01\0\0\x26\x03\x03" + bytes(32) + b"\0\0\0\0"]
)
def test_a_hello_without_a_name(message: bytes) -> None:
    assert read_hello(in_records(message)) == Hello(None)


@settings(max_examples=examples(60))
@given(sizes=_SIZES)
def test_it_may_be_in_any_records(sizes: list[int]) -> None:
    assert read_hello(in_records(_NAME, *sizes)) == Hello("grpc.example")


# A caller that waits for exactly what it is told to wait for gets there.
@settings(max_examples=examples(60))
@given(sizes=_SIZES)
def test_what_is_needed_is_more_than_there_is_and_no_more_than_the_whole(sizes: list[int]) -> None:
    data, have, rounds = in_records(_NAME, *sizes), 0, 0
    while isinstance(found := read_hello(data[:have]), int):
        assert have < found <= len(data)
        have, rounds = found, rounds + 1
    assert found == Hello("grpc.example")
    assert rounds <= 2 * MOST_RECORDS


@settings(max_examples=examples(60))
@given(sizes=_SIZES, data=st.data())
def test_any_part_of_it_waits_for_more_or_is_enough(sizes: list[int], data: st.DataObject) -> None:
    whole = in_records(_NAME, *sizes)
    part = whole[: data.draw(st.integers(0, len(whole)))]
    found = read_hello(part)
    assert found == Hello("grpc.example") or (isinstance(found, int) and found > len(part))


@settings(max_examples=examples(60))
@given(sizes=_SIZES, data=st.data())
def test_a_changed_byte_is_a_hello_or_an_error(sizes: list[int], data: st.DataObject) -> None:
    whole = bytearray(in_records(_NAME, *sizes))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_hello(bytes(whole))
    except HelloError:
        return
    assert isinstance(found, Hello) or len(whole) < found <= MOST


@settings(max_examples=examples(60))
@given(data=st.binary(max_size=80), start=st.sampled_from([b"", b"\x16\x03\x01\0\x30\x01\0\0\x2c\x03\x03"]))
def test_any_bytes_are_a_hello_or_an_error_or_too_few(data: bytes, start: bytes) -> None:
    try:
        found = read_hello(start + data)
    except HelloError:
        return
    assert isinstance(found, Hello) or len(start + data) < found <= MOST


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PRI *",
        b"\x15\x03\x01\0\x02\x02\x28",
        b"\x16\x02",
        b"\x16\x03\x01\0\x04\x02\0\0\0",
        b"S",
    ],
)
def test_what_is_no_tls(data: bytes) -> None:
    with pytest.raises(NotTls):
        read_hello(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\0\0",  # an empty record
        b"\x16\x03\x01\x40\x01",  # one that is too long
        b"\x16\x03\x01\0\x04\x01\0\x40\x00",  # a message that is too long
        in_records(b"\x01" + (20).to_bytes(3, "big") + bytes(20)),  # no room for the random
        in_records(made_hello(rest=b"x")),
        in_records(made_hello((0, b"\0\x05\0\0\x09ab"))),
        in_records(made_hello(server_name(b""))),
        in_records(made_hello(server_name(b"x" * 254))),
        in_records(made_hello(server_name("é".encode()))),
        in_records(made_hello(server_name(b"a\0b"))),
        in_records(made_hello(server_name(b"a", kind=1))),
        in_records(made_hello() + bytes(100), *[1] * 40),
    ],
)
def test_what_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedHello):
        read_hello(data)


def test_the_longest_takes_little_time() -> None:
    many = made_hello(*[(50, b"")] * 3500, server_name(b"a.example"))
    data = in_records(many, *[450] * (MOST_RECORDS - 1))
    assert len(data) < MOST
    started = perf_counter()
    assert read_hello(data) == Hello("a.example")
    assert perf_counter() - started < 1
