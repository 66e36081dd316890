"""Headers of a request for the log."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from splicer.model import RequestHead, Respond
from splicer.session.logged_headers import LoggedHeader, logged_values
from tests.session.edge import Edge, route
from tests.session.message import get, read_answer

WANTED = (LoggedHeader(b"user-agent", "header_user_agent"), LoggedHeader(b"x-call-id", "header_x_call_id"))


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead("GET", "/", "/", None, "a", "1.1", ((b"Host", b"a"), *fields))


def test_those_that_are_there_in_the_order_of_the_file() -> None:
    request = head((b"X-Call-ID", b"7"), (b"X-Other", b"no"), (b"User-Agent", b"curl"), (b"x-call-id", b"8"))
    assert logged_values(request, WANTED) == (("header_user_agent", "curl"), ("header_x_call_id", "7, 8"))
    assert logged_values(head(), WANTED) == ()
    assert logged_values(request, ()) == ()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("ä€".encode(), "ä€"),
        (b"\xff\xe4", "\\xff\\xe4"),
        (b"x" * 256, "x" * 256),
        (b"x" * 257, "x" * 256 + "…"),
        ("ä".encode() * 256, "ä" * 256),
        (b"\xff" * 30_000, ("\\xff" * 64) + "…"),
    ],
)
def test_a_value_is_text_of_bounded_length(value: bytes, told: str) -> None:
    assert logged_values(head((b"User-Agent", value)), WANTED) == (("header_user_agent", told),)


@given(st.lists(st.binary(max_size=2000), max_size=4))
def test_whatever_a_client_sends(values: list[bytes]) -> None:
    for _, value in logged_values(head(*((b"user-agent", value) for value in values)), WANTED):
        assert len(value) <= 257
        value.encode()


async def test_the_record_has_them_whatever_comes_of_the_request(edge: Edge) -> None:
    edge.use(route("path", "/here", respond=Respond(200)))
    await ask(edge, "/here")
    assert (edge.told.ended[0].headers, edge.told.ended[0].version) == ((), None), "nobody wants them"
    edge.context.rules = evolve(edge.context.rules, logged_headers=WANTED)
    for path in ("/here", "/nowhere"):
        await ask(edge, path)
        assert edge.told.ended[-1].headers == (("header_user_agent", "curl"),)
        assert edge.told.ended[-1].version == "1.1"


async def ask(edge: Edge, path: str) -> Any:
    return await read_answer(await edge.ask(get(path, "User-Agent: curl")))
